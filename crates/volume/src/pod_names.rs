//! The names of pods by their uid, without asking the API server: kubelet names the directories of their logs by them.
//!
//! Kubelet makes these directories as root, so a pod's namespace can be trusted as far as the node can: whoever may write there owns the node
//! anyway. Where the names are missing nothing may be concluded from that.

use std::collections::HashMap;
use std::ffi::OsString;

/// A pod's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Reads `<namespace>_<name>_<uid>`; none of them contains `_`.
pub(crate) fn pod_names(log_directories: Vec<OsString>) -> HashMap<String, PodName> {
    log_directories.into_iter().filter_map(|directory| parse(directory.to_str()?)).collect()
}

fn parse(directory: &str) -> Option<(String, PodName)> {
    let mut parts = directory.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && [namespace, name, uid].iter().all(|part| !part.is_empty());
    is_whole.then(|| (uid.to_owned(), PodName { namespace: namespace.to_owned(), name: name.to_owned() }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::pod_names;

    #[test]
    fn log_directories_name_pods_and_others_do_not() {
        let odd = OsString::from_vec(b"ns_\xff_uid".to_vec());
        let names = ["shop_db-0_1234-5678", "a_b", "a_b_c_d", "__", "plain"].map(OsString::from);
        let names = pod_names(names.into_iter().chain([odd]).collect());
        assert_eq!(names.len(), 1);
        let pod = &names["1234-5678"];
        assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("shop", "db-0"));
    }
}
