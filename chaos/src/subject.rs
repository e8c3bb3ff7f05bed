//! Which server is attacked: a report that does not say it proves nothing about any.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use tokio::process::Command;

/// Where the script that built the server says what from.
const REVISION: &str = "HOLDFAST_REVISION";
/// Digits of a hash that people are told.
const SHORT: usize = 16;

/// A server as its report names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// What it says of itself.
    pub version: String,
    /// SHA-256 of its program, or the id of its containers' image.
    pub digest: String,
    /// What it was built from, if that is known.
    pub revision: Option<String>,
}

impl Subject {
    /// A program of this machine.
    pub async fn program(path: &Path) -> Result<Subject, String> {
        let version = said(Command::new(path).arg("--version"), &path.display().to_string()).await?;
        let hashed = said(Command::new("sha256sum").arg(path), "sha256sum").await?;
        let digest = hashed.split_whitespace().next().unwrap_or_default().trim_start_matches('\\').to_owned();
        Ok(Subject { version, digest: format!("sha256:{digest}"), revision: revision() })
    }

    /// The image that all containers must be of.
    pub fn image(images: &[String]) -> Result<Subject, String> {
        let first = images.first().cloned().unwrap_or_default();
        if images.iter().any(|image| *image != first) {
            return Err(format!("the containers are of several images: {}", images.join(", ")));
        }
        Ok(Subject { version: "image".into(), digest: first, revision: revision() })
    }
}

fn revision() -> Option<String> {
    std::env::var(REVISION).ok().filter(|revision| !revision.is_empty())
}

async fn said(command: &mut Command, name: &str) -> Result<String, String> {
    let output = command.output().await.map_err(|why| format!("{name}: {why}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, digits) = self.digest.split_once(':').unwrap_or(("", &self.digest));
        write!(f, "{}, {kind} {}", self.version, digits.get(..SHORT).unwrap_or(digits))?;
        match &self.revision {
            Some(revision) => write!(f, ", built from {revision}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_told_in_a_line() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let mut subject = Subject { version: "holdfast 1.2.3".into(), digest, revision: None };
        assert_eq!(subject.to_string(), "holdfast 1.2.3, sha256 0123456789abcdef");
        subject.revision = Some("abc-dirty".into());
        assert_eq!(subject.to_string(), "holdfast 1.2.3, sha256 0123456789abcdef, built from abc-dirty");
    }

    #[test]
    fn containers_of_two_images_are_refused() {
        let image = |name: &str| name.to_owned();
        assert_eq!(Subject::image(&[image("sha256:a"), image("sha256:a")]).expect("one").digest, "sha256:a");
        assert!(Subject::image(&[image("sha256:a"), image("sha256:b")]).is_err());
    }

    #[tokio::test]
    async fn another_program_has_another_hash() {
        let hash =
            |path: &'static str| async move { Subject::program(Path::new(path)).await.expect("a program").digest };
        assert_eq!(hash("/bin/cat").await, hash("/bin/cat").await);
        assert_ne!(hash("/bin/cat").await, hash("/bin/ls").await);
    }
}
