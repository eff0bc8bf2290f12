//! The closed list of calls, generated from the descriptors: whoever matches on [`Rpc`] cannot forget one.

include!(concat!(env!("OUT_DIR"), "/rpc.rs"));

impl Rpc {
    /// The call with this path, if it is one of ours.
    pub fn from_path(path: &str) -> Option<Rpc> {
        Rpc::ALL.iter().copied().find(|rpc| rpc.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::Rpc;

    #[test]
    fn every_call_is_found_by_its_path() {
        assert!(Rpc::ALL.len() >= 11);
        for rpc in Rpc::ALL {
            assert_eq!(Rpc::from_path(rpc.path()), Some(*rpc));
        }
        assert_eq!(Rpc::from_path("/coffer.agent.v1.Operations/Nothing"), None);
    }
}
