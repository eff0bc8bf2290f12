//! What addresses of S3 repositories are read as, and how wrong ones are refused.

use super::*;

fn read(text: &str) -> S3Address {
    S3Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fault(text: &str) -> String {
    S3Address::parse(text).expect_err(text).to_string()
}

#[test]
fn a_plain_address_is_aws_with_the_defaults() {
    let address = read("s3://my-bucket/a/b/");
    assert_eq!(address, S3Address::new("my-bucket", "a/b"));
    assert!(address.is_tls() && !address.path_style);
    assert_eq!(read("s3://my-bucket").prefix, "");
}

#[test]
fn an_endpoint_means_path_style_unless_said_otherwise() {
    assert!(read("s3://bucket/p?endpoint=http://127.0.0.1:9000").path_style);
    assert!(!read("s3://bucket/p?endpoint=https://host&path-style=false").path_style);
    assert!(!read("s3://bucket/p?path-style=false&endpoint=https://host").path_style);
    assert!(read("s3://my.bucket/p").path_style, "a dot in the host name breaks the certificate");
    assert!(!read("s3://bucket/p?endpoint=http://127.0.0.1:9000").is_tls());
}

#[test]
fn every_address_shown_is_read_back_as_itself() {
    for text in [
        "s3://bucket",
        "s3://bucket/a/b",
        "s3://bucket/a%2541/b",
        "s3://bucket/p?endpoint=https://host:9000",
        "s3://bucket/p?endpoint=https://host&region=eu-west-1&path-style=false&ca=/etc/my%20ca.pem",
        "s3://bucket/p?storage-class=STANDARD_IA&sse=kms&sse-kms-key=arn:aws:kms:eu:1:key/2&tags=a:b,c:d%20e",
        "s3://bucket/p?sse-kms-key=abc&sse=kms",
        "s3://bucket/p?sse=s3&conditional-put=false&checksum=none&sign-payload=always&patience=5",
        "s3://bucket/p?endpoint=https://host/storage/v1/s3&conditional-put=true&checksum=crc32c&part-size=5",
        "s3://bucket/p?checksum=crc64nvme",
    ] {
        let address = read(text);
        assert_eq!(read(&address.to_string()), address, "{address}");
    }
}

#[test]
fn wrong_addresses_say_what_is_wrong() {
    let check = |text: &str, expected: &str| {
        let error = fault(text);
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("s3:///prefix", "names no bucket");
    check("s3://ab", "no possible bucket");
    check("s3://Bucket$", "no possible bucket");
    check("s3://bucket:9000/p", "endpoint=");
    check("s3://bucket/p#x", "`#`");
    check("s3://bucket/a//b", "single slashes");
    check("s3://bucket/a/%2e%2e/b", "`..`");
    check("s3://bucket/a/../b", "`..`");
    check("s3://bucket/./b", "`..`");
    check("s3://bucket/%FF", "UTF-8");
    check(&format!("s3://bucket/{}", "x".repeat(121)), "120 bytes");
    check("s3://bucket/p?endpoint=host:9000", "https://host");
    check("s3://bucket/p?endpoint=https://host/path?query", "https://host");
    check("s3://bucket/p?endpoint=https://host/a/../b", "https://host");
    check("s3://bucket/p?endpoint=https://host/a%252fb", "https://host");
    check("s3://bucket/p?part-size=4", "from 5 to 512");
    check("s3://bucket/p?part-size=513", "from 5 to 512");
    check("s3://bucket/p?part-size=x", "from 5 to 512");
    check("s3://bucket/p?regoin=x", "regoin");
    check("s3://bucket/p?region=x&region=y", "given twice");
    check("s3://bucket/p?region=", "no value");
    check("s3://bucket/p?path-style=yes", "neither true nor false");
    check("s3://bucket/p?sse=aes", "neither s3 nor kms");
    check("s3://bucket/p?sse=s3&sse-kms-key=k", "needs sse=kms");
    check("s3://bucket/p?sse-kms-key=k&sse=s3", "needs sse=kms");
    check("s3://bucket/p?tags=novalue", "name:value");
    check("s3://bucket/p?checksum=md5", "crc64nvme");
    check("s3://bucket/p?patience=99999999999", "86400");
    check("s3://bucket/p?endpoint=http://h&ca=/x", "http://");
}

#[test]
fn an_unknown_switch_lists_the_known_ones() {
    let error = fault("s3://bucket/p?key=1");
    for (name, _) in S3Address::switches() {
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn what_may_be_a_secret_is_refused_and_not_repeated() {
    for text in [
        "s3://AKIA:hunter2@bucket/p",
        "s3://hunter2@bucket",
        "s3://bucket/p?secret-access-key=hunter2",
        "s3://bucket/p?hunter2SECRET",
        "s3://bucket/p?endpoint=https://user:hunter2@host",
        "s3://bucket/p?region=hunter2$",
    ] {
        let error = S3Address::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
