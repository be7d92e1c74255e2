//! Files and standard input, read within a bound. Runtime.
//!
//! What is read here is named by people, who may name anything: a device that never ends, a folder.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Captures: they are read as a whole.
pub(super) const CAPTURE_BYTES: u64 = 1 << 30;
/// Settings of samples.
pub(super) const SETTINGS_BYTES: u64 = 16 << 20;
/// Certificates and private keys, in PEM form. Those of all public authorities have a quarter of it.
pub(super) const PEM_BYTES: u64 = 1 << 20;

/// All of a file, or of a pipe with a name (`/dev/stdin` may be one).
///
/// # Errors
/// The file cannot be read, is a folder or a device, or has more than `limit` bytes.
pub(super) fn file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let expected = within(path, limit)?;
    bounded(File::open(path)?, expected, limit)
}

/// How many bytes a file has, for who reads it in another way; of a pipe that is not known.
///
/// # Errors
/// As for [`file`].
pub(super) fn within(path: &Path, limit: u64) -> io::Result<usize> {
    // Asked before it is opened: to open a device may do something.
    let metadata = fs::metadata(path)?;
    if let Some(kind) = no_file(metadata.file_type()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("this is {kind}, no file"),
        ));
    }
    if metadata.len() > limit {
        return Err(too_large(limit));
    }
    Ok(metadata.len() as usize)
}

/// All of standard input.
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub(super) fn standard(limit: u64) -> io::Result<Vec<u8>> {
    bounded(io::stdin().lock(), 0, limit)
}

/// What is neither a file nor a pipe, in words.
fn no_file(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_dir() => Some("a directory"),
        _ if kind.is_block_device() => Some("a device"),
        _ if kind.is_char_device() => Some("a device"),
        _ if kind.is_socket() => Some("a socket"),
        _ => None,
    }
}

/// `expected` bytes, or as many as there are up to the limit: sizes of pipes and of files that grow are
/// not known.
fn bounded(input: impl Read, expected: usize, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected);
    input.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn too_large(limit: u64) -> io::Error {
    let most = match limit >> 20 {
        0 => format!("{} KiB", limit >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_limit_is_read_and_one_byte_more_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, [7; 2048]).unwrap();
        assert_eq!(file(&path, 2048).unwrap(), [7; 2048]);
        assert_eq!(file(&path, 2047).unwrap_err().to_string(), "larger than 1 KiB");
        // Where the size was not known.
        assert_eq!(bounded(&[7; 2048][..], 0, 2048).unwrap().len(), 2048);
        assert_eq!(
            bounded(io::repeat(7), 0, 1 << 20).unwrap_err().to_string(),
            "larger than 1 MiB"
        );
    }

    #[test]
    fn what_has_no_end_is_refused_before_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, told) in [
            (Path::new("/dev/zero"), "this is a device, no file"),
            (directory.path(), "this is a directory, no file"),
            (&socket, "this is a socket, no file"),
        ] {
            assert_eq!(file(path, 1 << 20).unwrap_err().to_string(), told);
        }
    }
}
