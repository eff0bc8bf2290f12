//! Where a request goes: path and query of the Kubernetes API -> collection, object, subresource, selectors.

use std::collections::BTreeMap;

/// All objects of one kind: API group (empty for the core group), version, plural name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Collection {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
}

impl Collection {
    /// As objects name it.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether the API server itself defines it. Objects of such kinds come without kind and version in lists, as they do from the real server.
    pub(crate) fn is_built_in(&self) -> bool {
        !self.group.contains('.') || self.group.ends_with(".k8s.io")
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) collection: Collection,
    /// None: cluster-scoped, or of all namespaces.
    pub(crate) namespace: Option<String>,
    /// None: the collection itself.
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Address {
    /// Reads a path such as `/apis/coffer.dev/v1alpha1/namespaces/shop/backups/one/status`.
    pub(crate) fn parse(path: &str) -> Option<Address> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // A namespace's own subresources, not collections in it.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some(*namespace), inner),
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let collection =
            Collection { group: group.to_owned(), version: version.to_owned(), plural: plural.to_owned() };
        Some(Address {
            collection,
            namespace: owned(namespace),
            name: owned(name),
            subresource: owned(subresource),
        })
    }
}

/// The query's values by name.
pub(crate) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16)).unwrap_or(0);
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).expect("two hexadecimal digits"),
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("clients send UTF-8")
}
