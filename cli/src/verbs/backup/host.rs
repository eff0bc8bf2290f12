//! This host's name as the default of `--cluster`.

use coffer_format::Label;

use crate::error::CliError;

const LABEL_LEN_MAX: usize = 63;

/// The host's name as a label.
pub(crate) fn cluster() -> Result<Label, CliError> {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    label_of(&name).ok_or_else(|| {
        CliError::Usage(format!("this host's name `{name}` makes no cluster name; give --cluster C"))
    })
}

/// Lower case, anything but letters and digits as `-`, none of these at the ends, at most 63 bytes.
fn label_of(name: &str) -> Option<Label> {
    let allowed =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(allowed).collect();
    let text = text.trim_matches('-');
    let text = text.get(..LABEL_LEN_MAX).unwrap_or(text);
    text.trim_end_matches('-').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_become_labels() {
        let check = |name: &str, label: Option<&str>| {
            assert_eq!(label_of(name).map(|label| label.to_string()).as_deref(), label, "{name}");
        };
        check("node1", Some("node1"));
        check("Node_1.example.com.", Some("node-1-example-com"));
        check("ünï", Some("n"));
        check("", None);
        check("...", None);
        check(&"x".repeat(70), Some(&"x".repeat(63)));
        check(&format!("{}-b", "x".repeat(62)), Some(&"x".repeat(62)));
    }
}
