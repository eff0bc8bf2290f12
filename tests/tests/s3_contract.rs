//! The `s3://` store keeps every rule of the port on three servers: one with the semantics of AWS, versitygw, and MinIO over TLS.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use coffer_store::ObjectStore;
use coffer_store::contract::{Lacks, run_contract_with};
use coffer_store::s3::Tuning;
use coffer_tests::s3::double::Double;
use coffer_tests::s3::{Endpoint, double, servers};

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

#[test]
fn a_server_like_aws_keeps_the_contract() {
    let server = Double::start();
    keeps_the_contract(&server.endpoint(), double::BUCKET, Lacks::default());
}

#[test]
fn versitygw_keeps_the_contract() {
    let server = servers::versitygw(Path::new(TMP));
    keeps_the_contract(server.endpoint(), servers::BUCKET, Lacks::default());
}

#[test]
fn minio_keeps_the_contract() {
    let server = servers::minio(Path::new(TMP));
    let lacks = Lacks { uploads_by_prefix: true, lists_from_any_name: true, odd_prefixes: true };
    keeps_the_contract(server.endpoint(), servers::BUCKET, lacks);
}

/// Each rule in a prefix of its own, the first one in the bucket itself.
fn keeps_the_contract(endpoint: &Endpoint, bucket: &str, lacks: Lacks) {
    let rules = AtomicU64::new(0);
    run_contract_with(lacks, || {
        let rule = rules.fetch_add(1, Ordering::Relaxed);
        let store = endpoint.store(bucket, &format!("rule/{rule}"), Tuning::default());
        Box::new(store) as Box<dyn ObjectStore>
    });
}
