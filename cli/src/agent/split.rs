//! Which volume is whose: from `NAME=NODE:SOURCE` to the agent of that node. Pure.

use std::path::Path;

use coffer_format::VolumeName;

/// A volume and the node that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Which of the agents.
    pub(crate) agent: usize,
    /// Its name in the point.
    pub(crate) name: VolumeName,
    /// A path on the node or a volume's id.
    pub(crate) place: String,
}

/// Finds the node of a word, and what stands after it. Where there is one agent, its name needs not be said.
pub(crate) fn node_of<'t>(place: &'t str, nodes: &[&str]) -> Result<(usize, &'t str), String> {
    let named = place.split_once(':').and_then(|(node, rest)| {
        let index = nodes.iter().position(|known| *known == node)?;
        Some((index, rest))
    });
    match (named, nodes) {
        (Some((_, "")), _) => {
            Err(format!("{place}: nothing stands after the node; write NODE:PATH or NODE:ID"))
        }
        (Some(found), _) => Ok(found),
        (None, [_]) => Ok((0, place)),
        (None, _) => Err(format!(
            "{place}: with several agents say which node it is on: NAME=NODE:PATH with NODE one of {}",
            nodes.join(", ")
        )),
    }
}

/// The agent, name and source of a volume that is to be backed up or written.
pub(crate) fn placed(name: &VolumeName, place: &Path, nodes: &[&str]) -> Result<Placed, String> {
    let Some(text) = place.to_str() else {
        return Err(format!("{}: a path on a node has to be UTF-8", place.display()));
    };
    let (agent, source) = node_of(text, nodes)?;
    if source.chars().any(char::is_control) {
        return Err(format!("volume {name}: a path on a node has no control characters"));
    }
    // `NODE:ID` without a name before it: the word was taken for a name as a whole.
    let is_unnamed = name.to_string() == text && source != text;
    let name = if is_unnamed { source.parse().map_err(|_| unnamed(text))? } else { name.clone() };
    Ok(Placed { agent, name, place: source.to_owned() })
}

fn unnamed(text: &str) -> String {
    format!("{text}: this makes no name for the volume; write NAME={text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, nodes: &[&str], expected: Result<(usize, &str, &str), &str>) {
        let word: crate::volume_words::SourceWord = word.parse().unwrap();
        let found = placed(&word.name, &word.path, nodes);
        match (found, expected) {
            (Ok(found), Ok((agent, name, place))) => {
                let expected = Placed { agent, name: name.parse().unwrap(), place: place.into() };
                assert_eq!(found, expected, "{word:?}");
            }
            (Err(found), Err(part)) => assert!(found.contains(part), "{word:?}: {found}"),
            (found, expected) => panic!("{word:?}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_agent_needs_no_name() {
        let one = ["node-1"];
        check("db=/dev/vdb", &one, Ok((0, "db", "/dev/vdb")));
        check("/dev/vdb", &one, Ok((0, "vdb", "/dev/vdb")));
        check("db=node-1:/dev/vdb", &one, Ok((0, "db", "/dev/vdb")));
        check("db=/dev/disk/by-path/pci-0000:00", &one, Ok((0, "db", "/dev/disk/by-path/pci-0000:00")));
        check("db=pv:shop-db", &one, Ok((0, "db", "pv:shop-db")));
        check("node-1:pv:shop-db", &one, Ok((0, "pv:shop-db", "pv:shop-db")));
        check("db=node-1:", &one, Err("NODE:PATH"));
    }

    #[test]
    fn several_agents_need_the_node_of_every_volume() {
        let two = ["node-1", "node-2"];
        check("db=node-2:/dev/vdb", &two, Ok((1, "db", "/dev/vdb")));
        check("node-1:/dev/vdb", &two, Ok((0, "vdb", "/dev/vdb")));
        check("node-1:sda", &two, Ok((0, "sda", "sda")));
        check("node-1:x=node-2:/dev/vdb", &two, Ok((1, "node-1:x", "/dev/vdb")));
        check("db=/dev/vdb", &two, Err("node-1, node-2"));
        check("db=node-3:/dev/vdb", &two, Err("node-1, node-2"));
    }
}
