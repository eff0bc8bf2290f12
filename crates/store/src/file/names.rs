//! Names in a repository's directory that are no keys.

/// The scratch directory, a component that no object's key may start with.
pub(super) const TEMP_DIR: &str = ".tmp";
/// Ends the name of the file that says what an upload is for.
pub(super) const SIDECAR_SUFFIX: &str = ".key";
/// The name of the reserve in the repository's directory, a component that no object's key may start with.
pub(super) const RESERVE: &str = ".reserve";
/// What a fresh ext4 has in its root, readable for root only.
const FOREIGN_DIR: &str = "lost+found";

/// The first component of a key that this store keeps for itself.
pub(super) fn is_reserved(component: &str) -> bool {
    matches!(component, TEMP_DIR | RESERVE | FOREIGN_DIR)
}
