//! Manifests: images, indexes, what refers to them, and the tag.

use oci_spec::image::MediaType;
use reqwest::Method;
use serde_json::Value;

use super::{Capability, Prober, Step, said};
use crate::image::{Blob, BlobSource};
use crate::registry::answer::malformed;
use crate::registry::call::Call;
use crate::registry::error::RegistryError;

/// More than a list of what a probe wrote has.
const LIST_LIMIT: u64 = 1 << 20;

impl Prober<'_> {
    /// Puts an image under the tag and reads it back. Where that fails no image can be pushed.
    pub(super) async fn put_image(&mut self) -> Step {
        let (samples, tag) = (self.samples, self.samples.tag());
        let image = &samples.first;
        let put = self.put_manifest(&image.manifest, Some(&tag)).await;
        self.judge(Capability::Image, "an image is taken", put)?;
        match self.read_back(&tag).await {
            Ok(()) => self.note(Capability::Pull, true, "what was written is read back as it was"),
            Err(error) => self.note(Capability::Pull, false, said(&error)),
        }
        Ok(())
    }

    async fn read_back(&self, tag: &str) -> Step {
        let image = &self.samples.first;
        let found = self.reading.manifest(tag).await?;
        if found.bytes() != image.manifest.bytes() {
            return Err(malformed(&self.reading.url("manifests/"), "the image was given back changed"));
        }
        for part in [&image.layers[0].descriptor, image.config.descriptor()] {
            self.reading.blob_document(part).await?;
        }
        Ok(())
    }

    /// Puts another image under the same tag.
    pub(super) async fn move_tag(&mut self) {
        let (samples, tag) = (self.samples, self.samples.tag());
        let moved = match self.put_manifest(&samples.second.manifest, Some(&tag)).await {
            Ok(()) => self.reading.manifest_digest(&tag).await,
            Err(error) => Err(error),
        };
        match moved {
            Ok(Some(digest)) if digest == *samples.second.manifest.digest() => {
                self.note(Capability::TagMoves, true, "a tag can be written again");
            }
            Ok(_) => self.note(Capability::TagMoves, false, "it is taken and the tag does not move"),
            Err(error) => self.note(Capability::TagMoves, false, said(&error)),
        }
    }

    pub(super) async fn put_index(&mut self) {
        let samples = self.samples;
        let put = self.put_manifest(&samples.index, None).await;
        let _ = self.judge(Capability::Index, "an image index is taken", put);
    }

    pub(super) async fn put_zstd(&mut self) {
        let put = self.put_zstd_image().await;
        let _ = self.judge(Capability::Zstd, "a layer of media type `tar+zstd` is taken", put);
    }

    async fn put_zstd_image(&mut self) -> Step {
        let image = &self.samples.zstd;
        let layer = &image.layers[0];
        for (descriptor, bytes) in
            [(&layer.descriptor, bytes_of(layer)), (image.config.descriptor(), image.config.bytes())]
        {
            self.send_whole(None, descriptor, bytes).await?;
        }
        self.put_manifest(&image.manifest, None).await
    }

    /// Puts something that refers to the image, and asks what does.
    pub(super) async fn refer(&mut self) {
        match self.referrers().await {
            Ok(true) => self.note(Capability::Referrers, true, "what refers to an image is listed"),
            Ok(false) => self.note(Capability::Referrers, false, "the list has not what was written"),
            Err(error) => self.note(Capability::Referrers, false, said(&error)),
        }
    }

    async fn referrers(&mut self) -> Result<bool, RegistryError> {
        let samples = self.samples;
        self.put_manifest(&samples.referrer, None).await?;
        let url = self.remote.url(&format!("referrers/{}", samples.first.manifest.digest()));
        let answer = self.send(&Call::new(Method::GET, url.clone()), &[200]).await?;
        let body = self.remote.core.read_bounded(answer, LIST_LIMIT).await?;
        let list: Value = serde_json::from_slice(&body).map_err(|_| malformed(&url, "it is no list"))?;
        let is_index =
            list["mediaType"].as_str().is_some_and(|it| MediaType::from(it) == MediaType::ImageIndex);
        let listed = list["manifests"].as_array().into_iter().flatten();
        let named =
            listed.filter_map(|it| it["digest"].as_str()).any(|it| it == samples.referrer.digest().as_ref());
        Ok(is_index && named)
    }
}

pub(super) fn bytes_of(blob: &Blob) -> &[u8] {
    match &blob.source {
        BlobSource::Bytes(bytes) => bytes,
        BlobSource::File(_) | BlobSource::Mounted { .. } => &[],
    }
}
