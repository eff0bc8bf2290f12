//! The switches of an `s3://` address, for people.

/// The shortest part, MiB: S3's limit.
pub(crate) const PART_MIB_MIN: u64 = 5;

/// Every switch with what it takes, in the order they are shown.
pub(super) const SWITCHES: &[(&str, &str)] = &[
    ("endpoint", "https://host[:port][/path] of a server that speaks S3 [AWS]"),
    ("region", "its region [of the profile or environment; us-east-1 with an endpoint]"),
    ("path-style", "true or false: the bucket in the path instead of the host name [true with an endpoint]"),
    ("ca", "file of certificates (PEM) to trust besides the system's"),
    ("storage-class", "STANDARD, STANDARD_IA, … for every object"),
    ("sse", "s3 or kms: encryption by the server, besides our own"),
    ("sse-kms-key", "id or ARN of the KMS key"),
    ("tags", "name:value,… set on every object"),
    (
        "conditional-put",
        "true or false: let the server refuse to overwrite [true, false where it does not know how]",
    ),
    (
        "checksum",
        "crc64nvme, crc32c or none: sent with every object and checked by the server [the first of these that it takes]",
    ),
    ("part-size", "5 to 512, MiB of a part and so of the longest request; less memory makes it shorter [17]"),
    ("sign-payload", "auto, always or never: SHA-256 over every body [auto: only without TLS]"),
    ("patience", "seconds to wait out an outage once the store has answered [600]"),
];
