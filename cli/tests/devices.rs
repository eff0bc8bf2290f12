//! Block devices, where the machine lets us have loop devices; otherwise the tests say that they are skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::path::Path;
use std::process::Command;

use sandbox::Sandbox;

/// A loop device that goes away with the value.
struct Loop(String);

impl Loop {
    fn new(image: &Path) -> Option<Loop> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok()?;
        let device = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        if !output.status.success() || device.is_empty() {
            eprintln!("skipped: no loop device: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(Loop(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn a_device_is_backed_up_and_written_but_only_when_told_and_large_enough() {
    let sandbox = Sandbox::new();
    sandbox.init();
    let source = sandbox.image("source.img", 4 << 20, 1);
    let target = sandbox.image("target.img", 6 << 20, 2);
    let small = sandbox.image("small.img", 1 << 20, 3);
    let (Some(source), Some(target), Some(small)) =
        (Loop::new(&source), Loop::new(&target), Loop::new(&small))
    else {
        return;
    };
    let report = sandbox.backup(&[&format!("vdb={}", source.0)]);
    assert_eq!(report["volumes"][0]["kind"], "device");
    let restore = [
        "restore",
        "--repo",
        "REPO",
        "--key",
        "recovery.key",
        "--plan",
        "web",
        "--pick",
        "latest",
        "--volume",
    ];
    let volume = |device: &Loop| format!("vdb={}", device.0);
    sandbox.run(&[&restore[..], &[&volume(&target)]].concat()).ends(6).says("--overwrite");
    sandbox.run(&[&restore[..], &[&volume(&small), "--overwrite"]].concat()).ends(6).says("larger device");
    sandbox.done(&[&restore[..], &[&volume(&target), "--overwrite"]].concat());
    let same = sandbox.json(&[&restore[..], &[&volume(&target), "--in-place"]].concat());
    assert_eq!(same["volumes"][0]["skipped"], 4 << 20);
    assert_eq!((&same["volumes"][0]["tail"], &same["volumes"][0]["cut"]), (&(2 << 20).into(), &0.into()));
    let told = sandbox.done(&[&restore[..], &[&volume(&target), "--in-place"]].concat());
    assert!(told.text().contains("2.0 MiB (2097152 bytes) behind the volume's end"), "{}", told.text());
    sandbox.run(&[&restore[..], &["vdb=target.img", "--overwrite"]].concat()).ends(6).says("in use");
    let written = std::fs::read(&target.0).unwrap();
    assert!(written[..4 << 20] == sandbox.read("source.img"), "the device holds the volume");
    assert!(written[4 << 20..] == sandbox::noise(6 << 20, 2)[4 << 20..], "what lies behind it is as it was");
}

#[test]
fn a_mounted_device_is_read_with_a_warning_and_never_written() {
    let sandbox = Sandbox::new();
    sandbox.init();
    let image = sandbox.path("disk.img");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mke2fs").args(["-q", "-F"]).arg(&image).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mke2fs");
        return;
    }
    let Some(device) = Loop::new(&image) else { return };
    let place = sandbox.path("mounted");
    std::fs::create_dir(&place).unwrap();
    if !Command::new("mount").arg(&device.0).arg(&place).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: cannot mount");
        return;
    }
    let _mounted = Mounted(&place);
    let volume = format!("vdb={}", device.0);
    let words = ["backup", "--repo", "REPO", "--key", "writer.key", "--plan", "web", &volume];
    let outcome = sandbox.done(&words);
    assert!(outcome.stderr.contains("crash-consistent at best"), "{}", outcome.stderr);
    let restore = ["restore", "--repo", "REPO", "--key", "recovery.key", "--plan", "web", "--pick", "latest"];
    for how in ["--overwrite", "--in-place"] {
        sandbox.run(&[&restore[..], &["--volume", &volume, how]].concat()).ends(6).says("is mounted on");
    }
    let doctor = sandbox.done(&["doctor", "--repo", "REPO", "--key", "writer.key", &device.0]);
    assert!(doctor.text().contains("in use"), "{}", doctor.text());
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
