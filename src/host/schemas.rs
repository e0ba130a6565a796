//! `app-server generate-…`: the protocol of the app server as files.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::args::SchemaLanguage;
use crate::fronts::app_server::schema::{self, File};
use crate::host::exec;

/// Writes the files below a directory and gives the exit code. Files of other names stay.
pub fn write(language: SchemaLanguage, directory: &Path) -> u8 {
    let files = match language {
        SchemaLanguage::TypeScript => schema::typescript(),
        SchemaLanguage::JsonSchema => schema::json_schema(),
    };
    for file in files {
        let path = directory.join(&file.path);
        if let Err(error) = write_one(&path, &file) {
            exec::say(&format!("error: write {}: {error}", path.display()));
            return 1;
        }
    }
    0
}

fn write_one(path: &Path, file: &File) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, &file.text)
}
