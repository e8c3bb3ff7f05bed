//! Settings from files, environment and flags: a sentence or a value, whatever stands in them. The first byte chooses
//! the form; what follows is a file's text.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use holdfast::settings::{Sources, load};
use libfuzzer_sys::fuzz_target;

/// A folder in memory where there is one: the file is written anew for every input.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("holdfast-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for settings");
    extern "C" fn remove() {
        let _gone = std::fs::remove_dir_all(&*FOLDER);
    }
    // SAFETY: registers a function without arguments that outlives the program's main part.
    unsafe { libc::atexit(remove) };
    folder
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, text)) = data.split_first() else { return };
    let mut sources = Sources::default();
    if first & 4 == 0 {
        let file = FOLDER.join(["a.toml", "a.yaml", "a.json", "a.toml"][usize::from(first & 3)]);
        std::fs::write(&file, text).expect("a file of settings is written");
        sources.file = Some(file);
    } else {
        let text = String::from_utf8_lossy(text);
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        sources.environment = pairs.map(|(name, value)| (format!("HOLDFAST_{name}"), value.to_owned())).collect();
    }
    if let Err(sentence) = load(&sources) {
        assert!(!sentence.is_empty());
    }
});
