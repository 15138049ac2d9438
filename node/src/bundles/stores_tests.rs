//! Stores of other tools in each of their layouts, and stores that lie.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::have::Have;
use super::super::verity::tests::{blob_of, bytes, paths_in};
use super::*;

struct Bench {
    folder: tempfile::TempDir,
    paths: Paths,
    bytes: Vec<u8>,
    blob: BundleFile,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, bytes) = (paths_in(folder.path()), bytes());
        let blob = blob_of(&bytes);
        Self { folder, paths, bytes, blob }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Puts bytes at a place below the home folder.
    fn put(&self, at: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home().join(at);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn ollama(&self) -> String {
        format!(".ollama/models/blobs/sha256-{}", self.blob.sha256.hex())
    }

    fn land(&self) -> Option<&'static str> {
        Stores::of_homes(&[self.home()]).land(&self.blob, &self.paths).expect("no fault of our disk")
    }

    /// The chunks that count as landed must be the approved ones.
    fn landed(&self) -> usize {
        let have = Have::open(&self.paths.have(&self.blob.sha256), &self.blob).expect("a bitmap");
        let part = self.paths.part(&self.blob.sha256);
        let part = if part.exists() { std::fs::read(part).expect("read") } else { Vec::new() };
        let landed: Vec<usize> = (0..self.blob.chunks.len()).filter(|index| have.has(*index)).collect();
        for index in &landed {
            let range = self.blob.chunk_range(*index).expect("a range");
            let range =
                usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small");
            assert!(
                part[range.clone()] == self.bytes[range],
                "chunk {index} landed and is not the approved one"
            );
        }
        landed.len()
    }
}

#[test]
fn each_layout_is_found() {
    for (at, whose) in [
        (".ollama/models/blobs/sha256-HEX", "the Ollama store"),
        (".cache/huggingface/hub/models--org--repo/blobs/HEX", "the Hugging Face cache"),
        (".lmstudio/models/org/model/model-q8.gguf", "the LM Studio folder"),
        (".cache/lm-studio/models/org/model/model-q8.gguf", "the LM Studio folder"),
    ] {
        let bench = Bench::new();
        bench.put(&at.replace("HEX", &bench.blob.sha256.hex()), &bench.bytes);
        bench.put(".lmstudio/models/org/model/other.gguf", &vec![0; bench.bytes.len()]);
        assert_eq!(bench.land(), Some(whose), "{at}");
        assert_eq!(bench.landed(), 3, "{at}");
        assert!(std::fs::read(bench.paths.part(&bench.blob.sha256)).expect("read") == bench.bytes);
    }
    assert_eq!(Bench::new().land(), None);
}

#[test]
fn lm_studio_is_followed_to_where_its_settings_have_moved_it() {
    for (settings, at) in [
        (".lmstudio/settings.json", "moved/models/publisher/model/file.gguf"),
        (".config/LM Studio/settings.json", "moved/models/publisher/model/file.gguf"),
        (".lmstudio-home-pointer", "pointed/models/publisher/model/file.gguf"),
    ] {
        let bench = Bench::new();
        let home = bench.home();
        let text = match settings {
            ".lmstudio-home-pointer" => format!("{}\n", home.join("pointed").display()),
            _ => format!(r#"{{"downloadsFolder": "{}"}}"#, home.join("moved/models").display()),
        };
        bench.put(at, &bench.bytes);
        assert_eq!(bench.land(), None, "{settings}");
        bench.put(settings, text.as_bytes());
        assert_eq!(bench.land(), Some("the LM Studio folder"), "{settings}");
    }
}

#[test]
fn what_a_fetch_began_is_finished_from_a_store() {
    let bench = Bench::new();
    bench.put(&bench.ollama(), &bench.bytes);
    let landing = open(&bench.blob, &bench.paths).expect("begun");
    landing.part.write_all_at(&bench.bytes[..65_536], 0).expect("written");
    landing.landed(&[0]).expect("landed");
    drop(landing);
    assert_eq!(bench.land(), Some("the Ollama store"));
    assert_eq!(bench.landed(), 3);
}

#[test]
fn p2_wrong_bytes_under_the_right_name_are_passed_over() {
    let bench = Bench::new();
    for at in [0, 65_536, bench.bytes.len() - 1] {
        let mut bent = bench.bytes.clone();
        bent[at] ^= 1;
        bench.put(&bench.ollama(), &bent);
        assert_eq!(bench.land(), None, "byte {at}");
        // Chunks before the bent one are as good as any.
        assert_eq!(bench.landed(), at / 65_536, "byte {at}");
        let _ = std::fs::remove_file(bench.paths.part(&bench.blob.sha256));
        let _ = std::fs::remove_file(bench.paths.have(&bench.blob.sha256));
    }
    bench.put(&bench.ollama(), &bench.bytes[..100]);
    assert_eq!(bench.land(), None, "another length");
}

#[test]
fn p2_no_link_is_followed() {
    let bench = Bench::new();
    let secret = bench.put("secret", &bench.bytes);
    let blob = bench.home().join(bench.ollama());
    std::fs::create_dir_all(blob.parent().expect("a parent")).expect("folders");
    symlink(&secret, &blob).expect("a link");
    assert_eq!(bench.land(), None, "a link in the place of a blob");
    // A snapshot of the Hugging Face cache is a link: only its blobs are read.
    let snapshots = bench.home().join(".cache/huggingface/hub/models--a--b/snapshots/1");
    std::fs::create_dir_all(&snapshots).expect("folders");
    symlink(&secret, snapshots.join("model.gguf")).expect("a link");
    assert_eq!(bench.land(), None, "a snapshot");
    // Neither is one on the way down.
    let elsewhere = bench.home().join("elsewhere/models/org/model");
    std::fs::create_dir_all(&elsewhere).expect("folders");
    std::fs::write(elsewhere.join("m.gguf"), &bench.bytes).expect("written");
    symlink(bench.home().join("elsewhere"), bench.home().join(".lmstudio")).expect("a link");
    assert_eq!(bench.land(), None, "a folder that is a link");
    assert_eq!(bench.landed(), 0);
}

#[test]
fn p2_a_pipe_makes_nobody_wait() {
    let bench = Bench::new();
    let blob = bench.home().join(bench.ollama());
    std::fs::create_dir_all(blob.parent().expect("a parent")).expect("folders");
    rustix::fs::mknodat(CWD, &blob, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    assert_eq!(bench.land(), None);
    // Nor does a folder where a file should be.
    std::fs::remove_file(&blob).expect("removed");
    std::fs::create_dir(&blob).expect("a folder");
    assert_eq!(bench.land(), None);
}

#[test]
fn p2_a_file_that_changes_while_it_is_copied_lands_only_approved_chunks() {
    let bench = Bench::new();
    let path = bench.put(&bench.ollama(), &bench.bytes);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
            let mut value = 0_u8;
            while !stop.load(Ordering::Relaxed) {
                value = value.wrapping_add(1);
                for at in [10, 70_000, 140_000] {
                    file.write_all_at(&[value], at).expect("written");
                }
            }
        });
        for _ in 0..50 {
            let found = bench.land();
            // Whatever the owner of the file does, a bit stands for approved bytes; `landed` compares them.
            assert!(bench.landed() == 3 || found.is_none());
            let _ = std::fs::remove_file(bench.paths.part(&bench.blob.sha256));
            let _ = std::fs::remove_file(bench.paths.have(&bench.blob.sha256));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn homes_are_read_from_the_list_of_accounts() {
    let accounts =
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\nodd:x:7:7::relative:\n";
    assert_eq!(home_of(accounts, 1000), Some("/home/ann".into()));
    assert_eq!(home_of(accounts, 0), Some("/root".into()));
    assert_eq!(home_of(accounts, 7), None);
    assert_eq!(home_of(accounts, 8), None);
}
