//! The conformance suite holds the example to its rules, and finds plugins that break them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coffer_plugin_sdk::check::{Checked, Trial, check};

#[path = "../examples/files.rs"]
#[allow(dead_code)]
mod files;

struct Served {
    directory: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Served {
    fn socket(&self) -> PathBuf {
        self.directory.path().join("plugin.sock")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

async fn serve(make: impl FnOnce(&Path) -> files::Files) -> Served {
    let directory = tempfile::tempdir().expect("a directory");
    let plugin = make(directory.path());
    let socket = directory.path().join("plugin.sock");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listening = socket.clone();
    tokio::spawn(async move {
        let stopped = async {
            let _dropped = stopped.await;
        };
        coffer_plugin_sdk::serve_until(plugin, &listening, stopped).await.expect("served");
    });
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
    Served { directory, stop: Some(stop) }
}

async fn example() -> Served {
    let served = serve(|directory| {
        std::fs::create_dir_all(directory.join("root/shop")).expect("made");
        std::fs::create_dir_all(directory.join("copies")).expect("made");
        std::fs::write(directory.join("root/shop/a"), "first").expect("written");
        files::Files { root: directory.join("root"), copies: directory.join("copies") }
    });
    served.await
}

fn problems(checked: &[Checked]) -> Vec<String> {
    let broken = checked.iter().filter_map(|checked| Some((checked.rule, checked.problem.as_ref()?)));
    broken.map(|(rule, problem)| format!("{rule}: {problem}")).collect()
}

fn trial() -> Trial {
    Trial {
        reference: "Example::Directory/shop".parse().expect("a reference"),
        protect_options: r#"{"label":"x"}"#.into(),
        restore_options: Some(r#"{"name":"again"}"#.into()),
        key: "trial-1".into(),
        timeout: Duration::from_secs(60),
    }
}

#[tokio::test]
async fn the_example_keeps_all_rules() {
    let served = example().await;
    let checked = check(&served.socket(), Some(&trial())).await;
    assert_eq!(problems(&checked), Vec::<String>::new());
    assert!(checked.len() > 30, "{} rules", checked.len());
    let restored = std::fs::read_to_string(served.directory.path().join("root/again/a")).expect("restored");
    assert_eq!(restored, "first");
    let left = std::fs::read_dir(served.directory.path().join("copies")).expect("there").count();
    assert_eq!(left, 0, "copies are left");
}

#[tokio::test]
async fn a_plugin_that_cannot_list_is_found() {
    let served = example().await;
    std::fs::remove_dir_all(served.directory.path().join("root")).expect("removed");
    let found = problems(&check(&served.socket(), None).await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("list comes to its end: "), "{found:?}");
}

#[tokio::test]
async fn nobody_on_the_socket_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let found = problems(&check(&directory.path().join("none.sock"), None).await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("start the plugin"), "{found:?}");
}

#[tokio::test]
async fn a_socket_that_a_live_plugin_has_is_not_taken() {
    let served = example().await;
    let plugin = files::Files { root: "/nowhere".into(), copies: "/nowhere".into() };
    let socket = served.socket();
    let second = coffer_plugin_sdk::serve_until(plugin, &socket, std::future::pending());
    let error = second.await.expect_err("taken").to_string();
    assert!(error.contains("another plugin listens there"), "{error}");
}
