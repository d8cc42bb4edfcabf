use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use super::super::file::GENERATIONS;
use super::super::form;
use super::super::test_mounts::{mounted, read_only, writable};
use super::*;
use crate::lab::captured::Captured;

fn start(folder: &Path) -> (Arc<Telemetry>, Keeper) {
    let telemetry = Arc::<Telemetry>::default();
    let config = StateConfig { dir: folder.to_owned(), save_interval: Duration::from_secs(1) };
    let keeper = Keeper::open(&config, Arc::clone(&telemetry));
    (telemetry, keeper)
}

/// A daemon that has read what there is.
fn started(folder: &Path) -> (Arc<Telemetry>, Keeper) {
    let (telemetry, mut keeper) = start(folder);
    load(&mut keeper);
    (telemetry, keeper)
}

fn load(keeper: &mut Keeper) -> Option<engine::SavedEngine> {
    keeper.read();
    keeper.restore()
}

/// As the daemon does: what could not be read is tried again first.
fn save(keeper: &mut Keeper) -> bool {
    load(keeper);
    keeper.save_if_changed(engine::SavedEngine::default())
}

fn reason(telemetry: &Telemetry) -> Option<String> {
    telemetry.readiness.reason(Component::State)
}

fn writes(telemetry: &Telemetry) -> (u64, u64) {
    let writes = &telemetry.metrics.state_file_writes;
    (writes.of(SaveOutcome::Ok), writes.of(SaveOutcome::Failed))
}

/// What is logged meanwhile, from INFO on.
fn logged(run: impl FnOnce()) -> Vec<String> {
    // With one subscriber alone tracing asks the thread that first comes by a message whether anybody wants it, and most
    // threads of tests have none: a second one makes it ask all subscribers.
    static OTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
    OTHER.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(captured.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    captured.lines()
}

#[test]
fn counters_go_on_over_restarts() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("made/when/needed");
    for run in 0..4 {
        let (telemetry, mut keeper) = started(&folder);
        assert_eq!(telemetry.metrics.cold_starts.sum(), run);
        assert_eq!(keeper.written().is_some(), run > 0, "when the earlier run saved it");
        assert_eq!(reason(&telemetry), None);
        telemetry.metrics.cold_starts.count(());
        assert!(keeper.save_if_changed(engine::SavedEngine::default()));
        assert_eq!(telemetry.metrics.state_file_backups.sum(), run, "the first write has nothing to set aside");
    }
}

#[test]
fn what_did_not_change_is_not_written_again() {
    let temp = tempfile::tempdir().unwrap();
    let (telemetry, mut keeper) = started(temp.path());
    assert!(keeper.save_if_changed(engine::SavedEngine::default()), "the first one shows that it works");
    let first = keeper.written().unwrap();
    for _ in 0..3 {
        telemetry.metrics.redis_writes_spared.count(());
        assert!(!keeper.save_if_changed(engine::SavedEngine::default()), "what does not survive is no change");
    }
    telemetry.metrics.cold_starts.count(());
    assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    assert!(!keeper.save_if_changed(engine::SavedEngine::default()), "the backup that was made is no change");
    assert!(keeper.written().unwrap() >= first);
    assert_eq!(writes(&telemetry), (2, 0));
    drop(keeper);

    let (telemetry, mut keeper) = started(temp.path());
    assert!(!keeper.save_if_changed(engine::SavedEngine::default()), "nor is a restart");
    assert_eq!((telemetry.metrics.state_file_backups.sum(), writes(&telemetry)), (1, (0, 0)));
}

#[test]
fn damage_is_counted_told_and_the_count_saved() {
    let temp = tempfile::tempdir().unwrap();
    let (telemetry, mut keeper) = started(temp.path());
    for _ in 0..GENERATIONS {
        telemetry.metrics.cold_starts.count(());
        assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    }
    let path = keeper.path().unwrap();
    drop((telemetry, keeper));
    fs::write(&path, "rubbish").unwrap();

    let (telemetry, mut keeper) = start(temp.path());
    let lines = logged(|| drop(load(&mut keeper)));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("state file is damaged"), "{lines:?}");
    assert!(lines[0].contains("state.json.damaged-") && lines[0].contains("first line"), "{lines:?}");
    let metrics = &telemetry.metrics;
    let counts = |metrics: &crate::telemetry::catalog::Metrics| {
        (metrics.cold_starts.sum(), metrics.state_file_corruptions.sum(), metrics.state_file_recoveries.sum())
    };
    assert_eq!(counts(metrics), (2, 1, 1), "from the generation before");
    assert_eq!(reason(&telemetry), None);
    assert!(keeper.save_if_changed(engine::SavedEngine::default()), "what loading counted is news");
    drop(keeper);

    let (telemetry, keeper) = started(temp.path());
    assert_eq!(counts(&telemetry.metrics), (2, 1, 1));
    for entry in fs::read_dir(temp.path()).unwrap() {
        fs::write(entry.unwrap().path(), "rubbish").unwrap();
    }
    drop(keeper);
    let (telemetry, mut keeper) = start(temp.path());
    let lines = logged(|| drop(load(&mut keeper)));
    assert!(lines.last().unwrap().contains("no state file can be used, counters begin at 0"), "{lines:?}");
    assert_eq!(counts(&telemetry.metrics), (0, 3, 0));
    assert!(telemetry.metrics.state_file_lost.of(()) > 0.0);
}

#[test]
fn a_backup_that_could_not_be_made_is_counted() {
    let temp = tempfile::tempdir().unwrap();
    let (telemetry, mut keeper) = started(temp.path());
    let missed = || telemetry.metrics.state_file_backups_missed.sum();
    assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    assert_eq!(missed(), 0, "there was nothing to keep");
    fs::remove_file(keeper.path().unwrap()).unwrap();
    telemetry.metrics.cold_starts.count(());
    assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    assert_eq!((missed(), telemetry.metrics.state_file_lost.of(())), (1, 0.0));
    assert!(keeper.save_if_changed(engine::SavedEngine::default()), "that it was missed is news");
    assert!(!keeper.save_if_changed(engine::SavedEngine::default()));
    assert_eq!(missed(), 1);
}

#[test]
fn content_that_is_no_state_is_damage() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("state.json"), form::seal(b"{\"counters\": []}")).unwrap();
    let (telemetry, keeper) = started(temp.path());
    assert_eq!((telemetry.metrics.state_file_corruptions.sum(), reason(&telemetry)), (1, None));
    assert!(!keeper.path().unwrap().exists(), "it was set aside");
}

#[test]
fn a_file_of_a_newer_version_is_told_and_no_damage() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("state.json"), form::seal_as(9, b"")).unwrap();
    let (telemetry, mut keeper) = start(temp.path());
    let lines = logged(|| drop(load(&mut keeper)));
    assert!(lines[0].contains("written by a newer portsyncd, in version 9"), "{lines:?}");
    assert_eq!(telemetry.metrics.state_file_corruptions.sum(), 0);
    assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    assert!(temp.path().join("state.json.version-9").is_file());
}

#[test]
fn sections_of_other_versions_survive_a_save() {
    let temp = tempfile::tempdir().unwrap();
    let content = json!({"weather": {"muted": ["a"]}, "counters": {}}).to_string();
    fs::write(temp.path().join("state.json"), form::seal(content.as_bytes())).unwrap();
    let (telemetry, mut keeper) = started(temp.path());
    telemetry.metrics.cold_starts.count(());
    assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    let file = fs::read(keeper.path().unwrap()).unwrap();
    let state = SavedState::from_json(form::open(&file).unwrap()).unwrap();
    assert_eq!(state.other["weather"], json!({"muted": ["a"]}));
}

#[test]
fn an_empty_folder_name_turns_it_off() {
    let (telemetry, mut keeper) = started(Path::new(""));
    telemetry.metrics.cold_starts.count(());
    assert!(!keeper.save_if_changed(engine::SavedEngine::default()));
    assert_eq!((keeper.path(), reason(&telemetry), writes(&telemetry)), (None, None, (0, 0)));
}

#[test]
fn trouble_with_the_disk_is_told_once_and_so_is_its_end() {
    mounted("size=1m", |folder| {
        let (telemetry, mut keeper) = started(folder);
        assert!(keeper.save_if_changed(engine::SavedEngine::default()));
        read_only(folder);
        telemetry.metrics.cold_starts.count(());
        let lines = logged(|| {
            for _ in 0..3 {
                assert!(!keeper.save_if_changed(engine::SavedEngine::default()));
            }
            let problem = reason(&telemetry).unwrap();
            assert!(problem.contains("state.json.new (let the daemon write there"), "{problem}");
            writable(folder);
            assert!(keeper.save_if_changed(engine::SavedEngine::default()));
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("WARN") && lines[0].contains("the state file cannot be written"), "{lines:?}");
        assert!(lines[1].contains("INFO") && lines[1].contains("can be written again"), "{lines:?}");
        assert_eq!((reason(&telemetry), writes(&telemetry)), (None, (2, 3)));
    });
}

#[test]
fn a_full_disk_is_told_and_loses_only_what_came_after() {
    mounted("size=16k", |folder| {
        let (telemetry, mut keeper) = started(folder);
        telemetry.metrics.cold_starts.count(());
        assert!(keeper.save_if_changed(engine::SavedEngine::default()));
        fs::write(folder.join("filler"), vec![0; 64 * 1024]).unwrap_err();
        telemetry.metrics.cold_starts.count(());
        assert!(!keeper.save_if_changed(engine::SavedEngine::default()));
        let problem = reason(&telemetry).unwrap();
        assert!(problem.contains("make room there") && problem.contains("No space left"), "{problem}");
        drop(keeper);
        let (restarted, mut keeper) = started(folder);
        assert_eq!(restarted.metrics.cold_starts.sum(), 1);
        assert_eq!(reason(&restarted), None, "it could be read");
        fs::remove_file(folder.join("filler")).unwrap();
        restarted.metrics.cold_starts.count(());
        assert!(keeper.save_if_changed(engine::SavedEngine::default()));
    });
}

#[test]
fn a_daemon_waits_for_the_one_before_it_and_then_goes_on_from_its_counts() {
    let temp = tempfile::tempdir().unwrap();
    let (old, mut ending) = started(temp.path());
    old.metrics.cold_starts.add((), 10);
    assert!(save(&mut ending));

    let (new, mut keeper) = started(temp.path());
    assert!(reason(&new).unwrap().contains("in use by another portsyncd"), "{:?}", reason(&new));
    new.metrics.cold_starts.count(());
    assert!(!save(&mut keeper));
    assert_eq!(writes(&new), (0, 1));

    old.metrics.cold_starts.count(());
    assert!(save(&mut ending), "its last words");
    drop(ending);
    let lines = logged(|| assert!(save(&mut keeper)));
    assert!(lines.iter().any(|line| line.contains("can be read again")), "{lines:?}");
    assert_eq!((new.metrics.cold_starts.sum(), reason(&new)), (12, None));
}

#[test]
fn a_folder_that_cannot_be_stops_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let (telemetry, mut keeper) = started(&file);
    assert!(reason(&telemetry).unwrap().contains("state.dir has to name a folder"), "{:?}", reason(&telemetry));
    assert!(!save(&mut keeper));
    fs::remove_file(&file).unwrap();
    assert!(save(&mut keeper), "once it can be made it is");
    assert_eq!(reason(&telemetry), None);
}
