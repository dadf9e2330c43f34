//! Deleting what a probe wrote, as far as the registry permits it.

use reqwest::Method;

use super::{Capability, Prober, said};
use crate::registry::auth::Access;
use crate::registry::call::Call;
use crate::registry::remote::Remote;

/// What is said of something that is gone already.
const GONE: [&str; 3] = ["MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "NAME_UNKNOWN"];

impl Prober<'_> {
    /// Deletes everything that was written, the newest first, and notes what is left.
    pub(super) async fn clean(&mut self) {
        let repository = self.remote.access.repository.clone();
        let remote = self.remote.with_access(Access::delete(&repository));
        let mut left = Vec::new();
        let wrote_manifests = !self.manifests.is_empty();
        for digest in std::mem::take(&mut self.manifests).iter().rev() {
            match delete(&remote, &format!("manifests/{digest}")).await {
                Ok(()) if !self.seen.contains_key(&Capability::Delete) => {
                    self.note(Capability::Delete, true, "manifests are deleted");
                }
                Ok(()) => {}
                Err(why) => {
                    self.note(Capability::Delete, false, why);
                    left.push(format!("manifest {digest} of {repository}"));
                }
            }
        }
        let tag = self.samples.tag();
        // Most registries delete a tag with its manifest.
        let is_tagged = wrote_manifests && matches!(self.reading.manifest_digest(&tag).await, Ok(Some(_)));
        if is_tagged && delete(&remote, &format!("manifests/{tag}")).await.is_err() {
            left.push(format!("tag {tag} of {repository}"));
        }
        for digest in std::mem::take(&mut self.blobs) {
            if delete(&remote, &format!("blobs/{digest}")).await.is_err() {
                left.push(format!("blob {digest} of {repository}"));
            }
        }
        self.left.append(&mut left);
    }
}

/// Deletes something; what is gone already is as good as deleted.
async fn delete(remote: &Remote, name: &str) -> Result<(), String> {
    let call = Call::new(Method::DELETE, remote.url(name));
    match remote.core.send(&remote.registry, &remote.access, &call, &[200, 202, 204]).await {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| GONE.contains(&code)) => Ok(()),
        Err(error) => Err(said(&error)),
    }
}
