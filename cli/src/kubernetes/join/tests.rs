use super::*;

fn pod(name: &str, node: &str) -> Pod {
    Pod {
        uid: format!("uid-{name}"),
        namespace: "shop".into(),
        name: name.into(),
        node: node.into(),
        has_ended: false,
        claims: Vec::new(),
        paths: Vec::new(),
    }
}

/// A pod of n1 that uses the claim `data`.
fn user(name: &str) -> Pod {
    Pod { claims: vec!["data".into()], ..pod(name, "n1") }
}

/// A hostPath volume that the claim `data` is bound to.
fn host_path(name: &str, path: &str) -> PersistentVolume {
    let claim = Claim { namespace: "shop".into(), name: "data".into() };
    let source = Source::HostPath(PathKind::Directory);
    PersistentVolume { name: name.into(), path: path.into(), source, claim: Some(claim) }
}

fn directory(path: &str) -> v1::Volume {
    v1::Volume {
        id: "listed".into(),
        kind: VolumeKind::Directory.into(),
        path: path.into(),
        unusable_because: "the agent's own reason".into(),
        ..v1::Volume::default()
    }
}

fn named(path: &str, persistent_volume: &str) -> v1::Volume {
    let told = v1::KubernetesVolume {
        persistent_volume: persistent_volume.into(),
        plugin: "kubernetes.io/csi".into(),
        ..v1::KubernetesVolume::default()
    };
    v1::Volume { kubernetes: Some(told), ..directory(path) }
}

/// Volumes of n1 as `ID PATH PV: PODS`.
#[track_caller]
fn check(listed: &[v1::Volume], volumes: &[PersistentVolume], pods: &[Pod], expected: &[&str]) {
    let facts = Facts { volumes: volumes.to_vec(), pods: pods.to_vec() };
    let joined = join(listed.to_vec(), "n1", &facts);
    let line = |volume: &v1::Volume| {
        let told = volume.kubernetes.clone().unwrap_or_default();
        let pods: Vec<&str> = told.pods.iter().map(|pod| pod.name.as_str()).collect();
        let line = format!("{} {} {}: {}", volume.id, volume.path, told.persistent_volume, pods.join(" "));
        line.trim().to_owned()
    };
    assert_eq!(joined.iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn a_listed_directory_gets_the_name_and_all_pods_of_its_volume() {
    let pods = [user("a"), user("b")];
    check(&[directory("/data")], &[host_path("pv", "/data")], &pods, &["listed /data pv: a b"]);
    let facts = Facts { volumes: vec![host_path("pv", "/data")], pods: pods.to_vec() };
    let joined = join(vec![directory("/data")], "n1", &facts);
    let told = joined[0].kubernetes.as_ref().unwrap();
    assert_eq!((told.plugin.as_str(), told.pods[1].uid.as_str()), ("kubernetes.io/host-path", "uid-b"));
    assert_eq!(joined[0].unusable_because, "the agent's own reason");
}

#[test]
fn an_unlisted_one_is_added_with_the_reason() {
    check(&[], &[host_path("pv", "/data")], &[user("a")], &["/data pv: a"]);
    let reason = |listed: Vec<v1::Volume>, kind: PathKind| {
        let volume = PersistentVolume { source: Source::HostPath(kind), ..host_path("pv", "/data") };
        let facts = Facts { volumes: vec![volume], pods: vec![user("a")] };
        let joined = join(listed, "n1", &facts);
        joined.last().map(|volume| (volume.kind(), volume.unusable_because.clone()))
    };
    let (kind, text) = reason(Vec::new(), PathKind::Directory).unwrap();
    assert!(kind == VolumeKind::Directory && text.contains("directories are not backed up"), "{text}");
    let (kind, text) = reason(Vec::new(), PathKind::BlockDevice).unwrap();
    assert!(kind == VolumeKind::Device && text.starts_with("the agent lists nothing"), "{text}");
    assert_eq!(reason(Vec::new(), PathKind::Other), None);
    let device =
        v1::Volume { kind: VolumeKind::Device.into(), mounts: vec!["/data".into()], ..directory("/dev/vdb") };
    let (_, text) = reason(vec![device], PathKind::Directory).unwrap();
    assert!(text.ends_with("mounted there, /dev/vdb"), "{text}");
}

#[test]
fn only_pods_of_the_node_that_have_not_ended_are_users() {
    let volume = [host_path("pv", "/data")];
    let elsewhere = Pod { node: "n2".into(), ..user("a") };
    let ended = Pod { has_ended: true, ..user("b") };
    let stranger = Pod { namespace: "web".into(), ..user("c") };
    let none = [elsewhere, ended, stranger];
    check(&[directory("/data")], &volume, &none, &["listed /data :"]);
    check(&[], &volume, &none, &[]);
    // Bound, and used by nobody; and used through no claim.
    check(&[directory("/data")], &volume, &[pod("a", "n1")], &["listed /data :"]);
    let free = PersistentVolume { claim: None, ..host_path("pv", "/data") };
    check(&[], &[free], &[user("a")], &[]);
}

#[test]
fn a_local_volume_has_its_name_on_the_nodes_of_its_affinity_and_is_never_added() {
    let local = |nodes: &[&str]| PersistentVolume {
        source: Source::Local(nodes.iter().map(|node| (*node).to_owned()).collect()),
        ..host_path("pv", "/data")
    };
    check(&[directory("/data")], &[local(&["n1"])], &[], &["listed /data pv:"]);
    check(&[directory("/data")], &[local(&["n2"])], &[], &["listed /data :"]);
    check(&[directory("/data")], &[local(&[])], &[user("a")], &["listed /data pv: a"]);
    check(&[], &[local(&["n1"])], &[user("a")], &[]);
    let device = v1::Volume { names: vec!["/dev/disk/by-id/x".into()], ..directory("/dev/vdb") };
    let by_id = PersistentVolume { path: "/dev/disk/by-id/x".into(), ..local(&["n1"]) };
    check(&[device], &[by_id], &[], &["listed /dev/vdb pv:"]);
}

#[test]
fn a_pods_own_host_path_names_the_pod_and_no_volume() {
    let own = Pod { paths: vec!["/data/".into(), "/etc".into()], ..pod("a", "n1") };
    check(&[directory("/data")], &[], std::slice::from_ref(&own), &["listed /data : a"]);
    let both = [user("b"), own];
    check(&[directory("/data")], &[host_path("pv", "/data")], &both, &["listed /data pv: b a"]);
    check(&[], &[host_path("pv", "/data")], &both, &["/data pv: b a"]);
}

#[test]
fn paths_are_the_same_whatever_slashes_they_have_but_not_through_links() {
    for path in ["/data/", "//data", "/./data", "/data//"] {
        check(&[directory("/data")], &[host_path("pv", path)], &[user("a")], &["listed /data pv: a"]);
    }
    for path in ["/x/../data", "data", "/data/x", "/dat"] {
        let added = format!("{path} pv: a");
        check(&[directory("/data")], &[host_path("pv", path)], &[user("a")], &["listed /data :", &added]);
    }
}

#[test]
fn what_the_agent_said_stands() {
    // It named this very volume, wherever it is.
    check(
        &[named("/elsewhere", "pv")],
        &[host_path("pv", "/data")],
        &[user("a")],
        &["listed /elsewhere pv: a"],
    );
    // It named another: the same directory is listed under both names.
    check(
        &[named("/data", "first")],
        &[host_path("pv", "/data")],
        &[user("a")],
        &["listed /data first:", "listed /data pv: a"],
    );
    let facts = Facts { volumes: vec![host_path("pv", "/data")], pods: vec![user("a")] };
    let kept = join(vec![named("/data", "")], "n1", &facts);
    assert_eq!(kept[0].kubernetes.as_ref().unwrap().plugin, "kubernetes.io/csi");
}

#[test]
fn pods_that_the_agent_has_no_name_for_get_theirs() {
    let mut listed = named("/data", "pv");
    listed.kubernetes.as_mut().unwrap().pods = vec![v1::Pod { uid: "uid-a".into(), ..v1::Pod::default() }];
    check(&[listed], &[host_path("pv", "/data")], &[user("a")], &["listed /data pv: a"]);
}

#[test]
fn what_is_told_twice_is_listed_once_and_two_volumes_of_one_path_both() {
    let twice = [host_path("pv", "/data"), host_path("pv", "/data")];
    let pods = [user("a"), user("a")];
    check(&[directory("/data")], &twice, &pods, &["listed /data pv: a"]);
    check(&[], &twice, &pods, &["/data pv: a"]);
    let two = [host_path("pv", "/data"), host_path("other", "/data/")];
    check(&[directory("/data")], &two, &pods, &["listed /data pv: a", "listed /data other: a"]);
    check(&[], &two, &pods, &["/data pv: a", "/data other: a"]);
}

#[test]
fn filters_look_at_pods_and_at_the_persistent_volume() {
    let facts = Facts { volumes: vec![host_path("pv", "/data")], pods: vec![user("a")] };
    let joined = join(Vec::new(), "n1", &facts);
    let fits = |namespace, volume| fits(&joined[0], namespace, volume);
    assert!(fits("", "") && fits("shop", "pv") && fits("shop", "") && fits("", "pv"));
    assert!(!fits("web", "pv") && !fits("shop", "other"));
    assert!(!super::fits(&directory("/data"), "shop", ""));
}
