use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A password in a file, which is read each time that something connects: Kubernetes changes the
/// files of a mounted Secret under a running program.
#[derive(Clone, Debug)]
pub struct PasswordFile(PathBuf);

/// A password file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the password file {}: {source}", path.display())]
pub struct PasswordError {
    /// Which.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

impl PasswordFile {
    /// Names the file, and sees that it can be read.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn new(path: &Path) -> Result<Self, PasswordError> {
        let file = Self(path.to_owned());
        file.read().map(|_| file)
    }

    /// The password as it is now, without the end of its line.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn read(&self) -> Result<Zeroizing<String>, PasswordError> {
        let failed = |source| PasswordError { path: self.0.clone(), source };
        let text = std::fs::read_to_string(&self.0).map(Zeroizing::new).map_err(failed)?;
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_now_is_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let error = PasswordFile::new(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the password file /"), "{error}");
        std::fs::write(&path, "first \r\n").unwrap();
        let file = PasswordFile::new(&path).unwrap();
        assert_eq!(*file.read().unwrap(), "first ");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(*file.read().unwrap(), "second");
    }
}
