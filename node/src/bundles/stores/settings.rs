//! Where people have moved the stores of other tools to: variables of the daemon's own environment, the unit of Ollama's
//! own service, and LM Studio's settings. All of it is advice on where to look, and as little believed as a store itself.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};

use super::{FILE, FOLDER, Layout, Place, folder};
use crate::limits::{STORE_ENTRIES_MAX, STORE_SETTINGS_LEN_MAX};

/// The folder of units that an administrator of this machine wrote.
const UNITS: &str = "/etc/systemd/system";

/// Places that the environment names; `variable` looks one up.
pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Vec<Place> {
    let known: [(&str, Layout, &[&str]); 5] = [
        ("OLLAMA_MODELS", Layout::Ollama, &[]),
        ("HF_HUB_CACHE", Layout::HuggingFace, &[]),
        ("HUGGINGFACE_HUB_CACHE", Layout::HuggingFace, &[]),
        ("HF_HOME", Layout::HuggingFace, &["hub"]),
        ("XDG_CACHE_HOME", Layout::HuggingFace, &["huggingface", "hub"]),
    ];
    let named = known.into_iter().filter_map(|(name, layout, below)| {
        variable(name).and_then(|path| place(layout, path.as_ref(), below))
    });
    named.collect()
}

/// Where Ollama's own service keeps its models, if its unit says so.
pub(super) fn of_ollama_service() -> Vec<Place> {
    of_units(Path::new(UNITS))
}

fn of_units(units: &Path) -> Vec<Place> {
    let mut texts: Vec<String> = text(units, &[], "ollama.service").into_iter().collect();
    let additions = units.join("ollama.service.d");
    let listed = openat(CWD, &additions, FOLDER, Mode::empty()).ok().and_then(|at| Dir::read_from(at).ok());
    let names = listed.into_iter().flatten().filter_map(Result::ok).take(STORE_ENTRIES_MAX);
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    texts
        .extend(names.filter(|name| name.ends_with(".conf")).filter_map(|name| text(&additions, &[], &name)));
    let values = texts.iter().flat_map(|text| text.lines()).filter_map(|line| models_of(line.trim()));
    values.filter_map(|path| place(Layout::Ollama, Path::new(path), &[])).collect()
}

/// The path in `Environment="OLLAMA_MODELS=PATH"`, with or without quotes.
fn models_of(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix("Environment=")?.split_once("OLLAMA_MODELS=")?;
    let before = line.split_once("OLLAMA_MODELS=").and_then(|(before, _)| before.chars().last());
    let end = match before {
        Some(quote @ ('"' | '\'')) => rest.find(quote)?,
        _ => rest.find(char::is_whitespace).unwrap_or(rest.len()),
    };
    rest.get(..end)
}

/// Where LM Studio of this home folder keeps its models, if not where it usually does.
pub(super) fn of_lm_studio(home: &Path) -> Vec<Place> {
    let pointed = text(home, &[], ".lmstudio-home-pointer");
    let pointed =
        pointed.as_deref().and_then(|text| text.lines().next()).map(|line| PathBuf::from(line.trim()));
    let pointed = pointed.filter(|path| path.is_absolute());
    let mut places: Vec<Place> =
        pointed.iter().filter_map(|path| place(Layout::LmStudio, path, &["models"])).collect();
    let usual: [&[&str]; 3] = [&[".lmstudio"], &[".cache", "lm-studio"], &[".config", "LM Studio"]];
    let settings = usual.iter().filter_map(|below| text(home, below, "settings.json"));
    let settings = settings.chain(pointed.iter().filter_map(|path| text(path, &[], "settings.json")));
    for text in settings {
        let Ok(settings) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        let moved = settings.get("downloadsFolder").and_then(serde_json::Value::as_str);
        places.extend(moved.and_then(|path| place(Layout::LmStudio, path.as_ref(), &[])));
    }
    places
}

fn place(layout: Layout, base: &Path, below: &'static [&'static str]) -> Option<Place> {
    base.is_absolute().then(|| Place { layout, base: base.to_owned(), below })
}

/// A short regular file below a folder; no link is followed.
fn text(base: &Path, below: &[&str], name: &str) -> Option<String> {
    let base = openat(CWD, base, FOLDER, Mode::empty()).ok()?;
    let at = below.iter().try_fold(base, |at, name| folder(&at, name))?;
    let opened = openat(&at, name, FILE.union(OFlags::CLOEXEC), Mode::empty()).ok()?;
    let stat = fstat(&opened).ok()?;
    let is_short = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && u64::try_from(stat.st_size).is_ok_and(|len| len <= STORE_SETTINGS_LEN_MAX);
    let bytes = is_short.then(|| std::fs::File::from(opened)).and_then(|file| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, STORE_SETTINGS_LEN_MAX), &mut bytes)
            .ok()?;
        Some(bytes)
    })?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(places: &[Place]) -> Vec<String> {
        places
            .iter()
            .map(|place| {
                place.below.iter().fold(place.base.clone(), |at, name| at.join(name)).display().to_string()
            })
            .collect()
    }

    #[test]
    fn variables_lead_to_stores_and_relative_paths_nowhere() {
        let of = |name: &str| match name {
            "OLLAMA_MODELS" => Some("/data/ollama".to_owned()),
            "HF_HOME" => Some("/data/hf".to_owned()),
            "HF_HUB_CACHE" => Some("relative".to_owned()),
            _ => None,
        };
        assert_eq!(bases(&of_environment(of)), ["/data/ollama", "/data/hf/hub"]);
    }

    #[test]
    fn the_unit_of_the_service_is_read_as_systemd_writes_it() {
        let units = tempfile::tempdir().expect("a folder");
        let additions = units.path().join("ollama.service.d");
        std::fs::create_dir(&additions).expect("a folder");
        std::fs::write(units.path().join("ollama.service"), "[Service]\nEnvironment=\"PATH=/bin\"\n")
            .expect("written");
        assert!(of_units(units.path()).is_empty());
        for (line, path) in [
            ("Environment=\"OLLAMA_MODELS=/data/with space\"", "/data/with space"),
            ("Environment=OLLAMA_HOST=0 OLLAMA_MODELS=/data/a X=1", "/data/a"),
            ("Environment='OLLAMA_MODELS=/data/b'", "/data/b"),
        ] {
            std::fs::write(additions.join("override.conf"), format!("[Service]\n{line}\n")).expect("written");
            assert_eq!(bases(&of_units(units.path())), [path]);
        }
        std::fs::write(additions.join("override.conf"), "#Environment=OLLAMA_MODELS=/c\n").expect("written");
        assert!(of_units(units.path()).is_empty());
    }
}
