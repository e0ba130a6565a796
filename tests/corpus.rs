//! Replays the corpora of the fuzz targets on stable, so that what was once found stays fixed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// The body of a fuzz target.
type Target = fn(&[u8]);

/// Each corpus and what it is fed to; the same functions that the fuzz targets call.
const TARGETS: [(&str, Target); 18] = [
    ("chat", windlass::wire::chat::decode::fuzz_cuts),
    ("clip", windlass::tools::clip::fuzz),
    ("command_line", windlass::tools::command_line::fuzz),
    ("config", windlass::config::settings::fuzz),
    ("http", windlass::wire::http::fuzz_cuts),
    ("ignore", windlass::tools::ignore::fuzz),
    ("journal", windlass::host::journal::replay::fuzz),
    ("lines", windlass::wire::lines::fuzz_cuts),
    ("past", windlass::fronts::app_server::past::fuzz),
    ("patch", windlass::tools::patch::fuzz),
    ("replay", windlass::wire::replay::fuzz),
    ("responses", windlass::wire::responses::decode::fuzz),
    ("review", windlass::wire::review::fuzz),
    ("risk", windlass::tools::risk::fuzz),
    ("rollout", windlass::wire::rollout::fuzz),
    ("slice", windlass::tools::slice::fuzz),
    ("sse", windlass::wire::sse::fuzz_cuts),
    ("url", windlass::wire::url::fuzz_parse),
];

#[test]
fn every_corpus_passes() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut names: Vec<String> = fs::read_dir(&corpora)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "each corpus has its target");
    for (name, target) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has a corpus");
    }
}
