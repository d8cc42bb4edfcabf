use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::super::test_mounts::{mounted, read_only};
use super::*;

fn folder() -> (TempDir, StateDir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(temp.path().join("state"));
    (temp, dir)
}

/// A folder in which these were saved, one after the other.
fn holding(contents: &[&str]) -> (TempDir, StateDir) {
    let (temp, mut dir) = folder();
    for content in contents {
        dir.save(content.as_bytes()).unwrap();
    }
    (temp, dir)
}

fn text(content: &[u8]) -> Result<String, String> {
    String::from_utf8(content.to_vec()).map_err(|error| error.to_string())
}

/// What another daemon, started after this one, would find.
fn reload(dir: &mut StateDir) -> Loaded<String> {
    dir.lock = None;
    let mut next = StateDir::new(&dir.folder);
    next.load(text).unwrap()
}

fn found(dir: &mut StateDir) -> (Option<String>, usize) {
    let loaded = reload(dir);
    (loaded.content, loaded.aside.len())
}

fn names(dir: &StateDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(&dir.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn nothing_saved_is_nothing_found_and_no_damage() {
    let (_temp, mut dir) = folder();
    assert_eq!(found(&mut dir), (None, 0));
}

#[test]
fn three_generations_are_kept() {
    let (_temp, mut dir) = folder();
    assert_eq!(dir.save(b"a").unwrap(), Written { backup: false });
    assert_eq!(dir.save(b"b").unwrap(), Written { backup: true });
    dir.save(b"c").unwrap();
    dir.save(b"d").unwrap();
    assert_eq!(names(&dir), ["state.json", "state.json.1", "state.json.2", "state.lock"]);
    for (generation, content) in ["d", "c", "b"].into_iter().enumerate() {
        let file = fs::read(dir.generation(generation)).unwrap();
        assert_eq!(form::open(&file).unwrap(), content.as_bytes());
    }
    let loaded = reload(&mut dir);
    assert_eq!((loaded.content.as_deref(), loaded.recovered()), (Some("d"), false));
}

#[test]
fn only_the_owner_can_read_the_file() {
    let (_temp, dir) = holding(&["a"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path()), 0o600);
    assert_eq!(mode(&dir.folder), 0o755 & !umask());
}

fn umask() -> u32 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let mask = text.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    Mode::from_bits_truncate(u32::from_str_radix(mask.trim(), 8).unwrap()).bits()
}

#[test]
fn the_newest_whole_generation_is_found_and_the_damaged_are_kept_aside() {
    for damaged in 0..=GENERATIONS {
        let (_temp, mut dir) = holding(&["a", "b", "c"]);
        for generation in 0..damaged {
            fs::write(dir.generation(generation), format!("rubbish {generation}")).unwrap();
        }
        let loaded = reload(&mut dir);
        assert_eq!(loaded.content.as_deref(), ["c", "b", "a"].get(damaged).copied());
        assert_eq!(loaded.damaged(), damaged as u64);
        assert_eq!(loaded.recovered(), (1..GENERATIONS).contains(&damaged));
        for (generation, aside) in loaded.aside.iter().enumerate() {
            assert_eq!(aside.path, dir.generation(generation));
            let kept = fs::read_to_string(aside.kept_as.as_ref().unwrap()).unwrap();
            assert_eq!(kept, format!("rubbish {generation}"));
        }
        assert_eq!(found(&mut dir).1, 0, "found damaged once");
        dir.save(b"d").unwrap();
        assert_eq!(found(&mut dir), (Some("d".to_owned()), 0));
    }
}

#[test]
fn every_kind_of_damage_is_survived() {
    type Damage = fn(&Path);
    let kinds: [(&str, Damage); 7] = [
        ("empty", |path| fs::write(path, "").unwrap()),
        ("cut off", |path| {
            let file = fs::read(path).unwrap();
            fs::write(path, &file[..file.len() - 1]).unwrap();
        }),
        ("zeros, as a crash of the machine leaves them", |path| {
            let length = fs::metadata(path).unwrap().len();
            fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
        }),
        ("one bit", |path| {
            let mut file = fs::read(path).unwrap();
            *file.last_mut().unwrap() ^= 1;
            fs::write(path, file).unwrap();
        }),
        ("not understood by the caller", |path| fs::write(path, form::seal(b"\xff")).unwrap()),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a pipe", |path| {
            fs::remove_file(path).unwrap();
            nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }),
    ];
    for (kind, damage) in kinds {
        let (_temp, mut dir) = holding(&["a", "b"]);
        // Not a second name of what is to be damaged: that would damage both.
        assert_eq!(fs::metadata(dir.path()).unwrap().nlink(), 1);
        damage(&dir.path());
        let loaded = reload(&mut dir);
        assert_eq!((loaded.content.as_deref(), loaded.recovered()), (Some("a"), true), "{kind}");
        dir.save(b"c").unwrap();
        assert_eq!(found(&mut dir), (Some("c".to_owned()), 0), "{kind}");
    }
}

#[test]
fn at_most_five_damaged_files_are_kept_and_the_newest_are() {
    // The second ones are from before the clock was set back: what was just found stays nevertheless.
    for first in [0, 99_999_999_000] {
        let (_temp, mut dir) = holding(&["a"]);
        let earlier = |nth: u64| dir.file(&format!("{DAMAGED}{}", first + nth));
        let all: Vec<_> = (0..8).map(earlier).collect();
        for path in &all {
            fs::write(path, "old").unwrap();
        }
        fs::write(dir.path(), "rubbish").unwrap();
        let kept_as = reload(&mut dir).aside[0].kept_as.clone().unwrap();
        assert_eq!(fs::read(kept_as).unwrap(), b"rubbish");
        let left: Vec<_> = all.iter().filter(|path| path.exists()).collect();
        assert_eq!(left, all[8 - (DAMAGED_KEPT - 1)..].iter().collect::<Vec<_>>());
    }
}

#[test]
fn files_of_a_newer_version_are_kept_and_not_counted_as_damaged() {
    let (_temp, mut dir) = holding(&["a"]);
    fs::rename(dir.path(), dir.generation(2)).unwrap();
    fs::write(dir.generation(0), form::seal_as(2, b"newest")).unwrap();
    fs::write(dir.generation(1), form::seal_as(2, b"older")).unwrap();
    let loaded = reload(&mut dir);
    assert_eq!((loaded.content.as_deref(), loaded.damaged(), loaded.recovered()), (Some("a"), 0, false));
    assert!(loaded.aside[0].why.to_string().contains("newer portsyncd"), "{}", loaded.aside[0].why);
    let kept = dir.file("state.json.version-2");
    assert_eq!(loaded.aside[0].kept_as.as_ref(), Some(&kept));
    assert_eq!(fs::read(kept).unwrap(), form::seal_as(2, b"newest"), "the one to go back to");
    assert_eq!(loaded.aside[1].kept_as, None);
    assert!(dir.generation(1).is_file(), "it stays until it is too old");
}

/// Stops a save within its first step and after each; once on a file system without links.
#[test]
fn a_crash_at_any_step_leaves_a_whole_generation() {
    for history in [&["a"][..], &["a", "b"], &["a", "b", "c"], &["a", "b", "c", "d"]] {
        let newest = history.last().copied().map(str::to_owned);
        let crashed = |steps: &dyn Fn(&StateDir)| {
            let (_temp, mut dir) = holding(history);
            steps(&dir);
            let after_crash = found(&mut dir);
            // It happens again, and then a save comes to its end.
            steps(&dir);
            assert_eq!(found(&mut dir).1, 0, "no damage");
            for content in [&b"x"[..], b"y", b"z"] {
                dir.save(content).unwrap();
                assert_eq!(found(&mut dir), (Some(text(content).unwrap()), 0));
            }
            assert_eq!(names(&dir), ["state.json", "state.json.1", "state.json.2", "state.lock"]);
            after_crash
        };
        let new = form::seal(b"new");
        for length in [0, 1, new.len() - 1, new.len()] {
            assert_eq!(crashed(&|dir| fs::write(dir.file(NEW), &new[..length]).unwrap()), (newest.clone(), 0));
        }
        let aged = |dir: &StateDir| {
            dir.write_new(&new).unwrap();
            dir.age_older().unwrap();
        };
        assert_eq!(crashed(&aged), (newest.clone(), 0));
        let linked = |dir: &StateDir| {
            aged(dir);
            dir.age_newest().unwrap();
        };
        assert_eq!(crashed(&linked), (newest.clone(), 0));
        let renamed = |dir: &StateDir| {
            aged(dir);
            // After the first crash there is none to rename, as in a save.
            if dir.has_file() {
                fs::rename(dir.path(), dir.generation(1)).unwrap();
            }
        };
        let (content, aside) = crashed(&renamed);
        assert_eq!((content, aside), (newest.clone(), 0), "the newest is absent, which is no damage");
        let replaced = |dir: &StateDir| {
            linked(dir);
            dir.put_in_place().unwrap();
        };
        assert_eq!(crashed(&replaced), (Some("new".to_owned()), 0));
    }
}

/// Not a test of its own: what [`a_killed_daemon_loses_nothing_that_was_saved`] kills.
#[test]
#[ignore = "started by another test"]
fn saves_until_it_is_killed() {
    let Some(folder) = std::env::var_os("STATE_FOLDER") else { return };
    let mut dir = StateDir::new(folder);
    let first = dir.load(text).unwrap().content.map_or(0, |content| content.trim().parse().unwrap());
    for number in first + 1.. {
        // Long enough for a write to take its time.
        dir.save(format!("{number}{}", " ".repeat(50_000)).as_bytes()).unwrap();
        println!("saved {number}");
    }
}

#[test]
fn a_killed_daemon_loses_nothing_that_was_saved() {
    let (_temp, mut dir) = folder();
    let mut before = 0;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::file::tests::saves_until_it_is_killed", "--ignored", "--nocapture"])
            .env("STATE_FOLDER", &dir.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let saved = said.filter_map(|line| line.rsplit_once("saved ")?.1.parse::<u64>().ok());
        let last: u64 = saved.take(2 + round % 5).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let loaded = reload(&mut dir);
        assert!(loaded.aside.is_empty(), "{:?}", loaded.aside);
        let kept: u64 = loaded.content.unwrap().trim().parse().unwrap();
        assert!(kept >= last && last > before, "{kept} is kept, {last} was saved, {before} before");
        before = kept;
    }
}

#[test]
fn a_full_disk_leaves_what_was_saved() {
    mounted("size=20k", |folder| {
        let mut dir = StateDir::new(folder);
        dir.save(b"a").unwrap();
        let error = dir.save(&vec![b'x'; 40_000]).unwrap_err().in_full();
        assert!(error.starts_with("cannot write ") && error.contains("make room there"), "{error}");
        assert!(error.ends_with("No space left on device (os error 28)"), "{error}");
        assert_eq!(found(&mut dir), (Some("a".to_owned()), 0));
        assert_eq!(names(&dir), ["state.json", "state.lock"], "what was begun is gone");
        dir.save(b"b").unwrap();
        assert_eq!(found(&mut dir), (Some("b".to_owned()), 0));
    });
}

#[test]
fn no_room_for_another_file_leaves_what_was_saved() {
    // The folder itself, the lock and one file.
    mounted("nr_inodes=3", |folder| {
        let mut dir = StateDir::new(folder);
        dir.save(b"a").unwrap();
        assert!(matches!(dir.save(b"b"), Err(DirError::Io { .. })));
        assert_eq!(found(&mut dir), (Some("a".to_owned()), 0));
    });
}

#[test]
fn a_read_only_folder_is_read_and_says_why_nothing_is_saved() {
    mounted("size=1m", |folder| {
        let mut dir = StateDir::new(folder);
        dir.save(b"a").unwrap();
        dir.save(b"b").unwrap();
        fs::write(dir.path(), "rubbish").unwrap();
        dir.lock = None;
        read_only(folder);
        let mut dir = StateDir::new(folder);
        let loaded = dir.load(text).unwrap();
        assert_eq!((loaded.content.as_deref(), loaded.recovered()), (Some("a"), true));
        assert_eq!(loaded.aside[0].kept_as, None, "it cannot be moved");
        let error = dir.save(b"c").unwrap_err().in_full();
        assert!(error.contains("let the daemon write there") && error.contains("Read-only file system"), "{error}");
    });
}

#[test]
fn a_read_only_folder_that_was_never_used_is_an_empty_one() {
    mounted("size=1m", |folder| {
        read_only(folder);
        let mut dir = StateDir::new(folder);
        assert_eq!(dir.load(text).unwrap().content, None);
        let error = dir.save(b"a").unwrap_err().in_full();
        assert!(error.contains("state.lock (let the daemon write there"), "{error}");
    });
}

#[test]
fn a_folder_that_cannot_be_is_an_error_that_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/portsyncd")] {
        let mut dir = StateDir::new(&path);
        let loading = dir.load(text).unwrap_err().in_full();
        let saving = dir.save(b"a").unwrap_err().in_full();
        assert_eq!(loading, saving);
        assert!(loading.starts_with(&format!("cannot make the folder {}", path.display())), "{loading}");
    }
}

#[test]
fn a_folder_in_the_way_of_a_write_is_an_error_that_says_so() {
    let (_temp, mut dir) = holding(&["a"]);
    fs::create_dir(dir.file(NEW)).unwrap();
    let error = dir.save(b"b").unwrap_err().in_full();
    assert!(error.contains("state.json.new (a folder is in the way, remove it)"), "{error}");
    assert_eq!(found(&mut dir), (Some("a".to_owned()), 0));
}

#[test]
fn one_daemon_at_a_time() {
    let (_temp, mut first) = holding(&["a"]);
    let mut second = StateDir::new(&first.folder);
    let wanted = format!(
        "{} is in use by another portsyncd (process {}); stop that one, or give this one a folder of its own (state.dir)",
        first.folder.display(),
        std::process::id()
    );
    assert_eq!(second.save(b"b").unwrap_err().in_full(), wanted);
    assert_eq!(second.load(text).unwrap_err().in_full(), wanted, "the first will write once more when it ends");
    first.save(b"c").unwrap();
    drop(first);
    assert_eq!(second.load(text).unwrap().content.as_deref(), Some("c"));
    second.save(b"d").unwrap();
}

#[test]
fn a_folder_removed_meanwhile_is_made_anew_and_locked() {
    let (_temp, mut dir) = holding(&["a"]);
    fs::remove_dir_all(&dir.folder).unwrap();
    assert_eq!(dir.save(b"b").unwrap(), Written { backup: false });
    assert!(matches!(StateDir::new(&dir.folder).save(b"c"), Err(DirError::Taken { .. })));
    assert_eq!(found(&mut dir), (Some("b".to_owned()), 0));
}
