//! Kinds of damage to the log of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::folder::Folder;
use crate::random::Random;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Damages a folder. Returns a description.
pub(crate) fn damage(folder: &mut Folder, ages: &[Folder], random: &mut Random) -> String {
    let disk = random.below(folder.disks.len() as u64) as usize;
    if random.one_in(3) {
        let age = random.below(ages.len() as u64) as usize;
        return mix(&mut folder.disks[disk], &ages[age].disks[disk], age, random);
    }
    let files = &mut folder.disks[disk];
    match random.below(6) {
        0 => delete_many(files, random),
        1 | 2 => change(files, random, "commits/"),
        _ => change(files, random, "/log/"),
    }
}

/// The folder of the log, or of a part's log.
fn delete_many(files: &mut Files, random: &mut Random) -> String {
    let run = format!("/r{}-", 1 + random.below(3));
    let which =
        random.pick(&["/log/", "/commits/", &run, "/log/2013-03-1", "/refused/"]).to_owned();
    let part = format!("part-{}/", random.below(2));
    files.retain(|path, _| !(holds(path, &which) && holds(path, "/log/") && holds(path, &part)));
    format!("{which} of {part} deleted")
}

/// One file of the log is cut, deleted, or has a page of zeros.
fn change(files: &mut Files, random: &mut Random, which: &str) -> String {
    let paths: Vec<PathBuf> = files.keys().filter(|path| holds(path, which)).cloned().collect();
    if paths.is_empty() {
        return format!("there is no {which}");
    }
    let path = random.pick(&paths);
    let bytes = files.get_mut(&path).unwrap();
    let length = bytes.len() as u64;
    let at = random.below(length + 1) as usize;
    let done = match random.below(4) {
        0 | 1 => {
            bytes.truncate(at);
            format!("cut at {at} of {length}")
        }
        2 => {
            let end = bytes.len().min(at + 1 + random.below(512) as usize);
            bytes[at.min(end)..end].fill(0);
            format!("zeros from {at} to {end} of {length}")
        }
        _ => {
            files.remove(&path);
            "deleted".to_owned()
        }
    };
    format!("{}: {done}", path.display())
}

/// A part of the folder has another age than the rest.
fn mix(files: &mut Files, other: &Files, age: usize, random: &mut Random) -> String {
    let part = format!("part-{}/", random.below(2));
    let which = match random.below(6) {
        0 => "/log/".to_owned(),
        1 => "/commits/".to_owned(),
        2 => "/manifest".to_owned(),
        3 => "/views/".to_owned(),
        4 => String::new(),
        _ => {
            let paths: Vec<&PathBuf> = other.keys().filter(|path| holds(path, "/log/")).collect();
            match paths.is_empty() {
                true => "/log/".to_owned(),
                false => random.pick(&paths).display().to_string(),
            }
        }
    };
    let is_wanted = |path: &Path| holds(path, &part) && holds(path, &which);
    files.retain(|path, _| !is_wanted(path));
    let taken = other.iter().filter(|(path, _)| is_wanted(path));
    files.extend(taken.map(|(path, bytes)| (path.clone(), bytes.clone())));
    format!("'{which}' of {part} as at age {age}")
}

fn holds(path: &Path, text: &str) -> bool {
    path.to_string_lossy().contains(text)
}
