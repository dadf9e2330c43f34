//! Uploads that broke off, and from where they can go on.
//!
//! A registry that is asked for the status of an upload says how much of it has arrived. Few registries do so rightly, so
//! that what they say is believed only as far as it can be true: never more than was sent, and more each time. All else
//! means that the blob is sent anew, into an upload of its own.

use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use url::Url;

use super::call::{Call, Payload};
use super::core::Core;
use super::error::{Class, RegistryError};
use super::remote::Remote;

/// Below this so little has gone that asking costs more than sending it again. In bytes.
const WORTH_ASKING: u64 = 4 << 20;

/// Where a part of a blob goes: the whole of it, or the rest of an upload that broke off.
pub(super) struct Part {
    /// The upload, as the registry named it last.
    pub(super) upload: Url,
    /// How many bytes the registry has already.
    pub(super) from: u64,
}

impl Part {
    /// The whole of a blob.
    pub(super) fn whole(upload: Url) -> Self {
        Self { upload, from: 0 }
    }

    pub(super) fn is_rest(&self) -> bool {
        self.from > 0
    }

    /// The request that sends the part and ends the upload: the last chunk, where it is the rest.
    pub(super) fn call<'a>(&self, payload: &Payload, sent: &'a (dyn Fn(u64) + Sync)) -> Call<'a> {
        let body = payload.after(self.from);
        let mut call = Call::new(Method::PUT, self.upload.clone()).watched(sent);
        if self.is_rest() && body.size() > 0 {
            let range = format!("{}-{}", self.from, self.from + body.size() - 1);
            let range = HeaderValue::from_str(&range).expect("two numbers are a header");
            call.headers.insert(CONTENT_RANGE, range);
        }
        call.with_body(body)
    }
}

impl Remote {
    /// What is left to be sent of a part that broke off when `gone` bytes of it had been given to the system; none where
    /// the blob must be sent anew.
    pub(super) async fn rest_of(&self, part: &Part, gone: u64, size: u64) -> Option<Part> {
        if gone < WORTH_ASKING {
            return None;
        }
        let call = Call::new(Method::GET, part.upload.clone());
        let answer = self.core.once(&self.registry, &self.access, &call, &[204]).await.ok()?;
        let kept = kept(answer.header(RANGE.as_str())?)?;
        if kept <= part.from || kept > (part.from + gone).min(size) {
            return None;
        }
        // Registries that keep the state of an upload in its address name another one now.
        let upload = Core::location(&self.registry, &answer).unwrap_or_else(|_| part.upload.clone());
        self.uploads.moved(&part.upload, &upload);
        Some(Part { upload, from: kept })
    }
}

/// How many bytes a `Range` says have arrived. `0-0` is what registries say of none, and of one.
pub(super) fn kept(range: &str) -> Option<u64> {
    let range = range.trim().strip_prefix("bytes=").unwrap_or(range.trim());
    let last: u64 = range.strip_prefix("0-")?.parse().ok()?;
    (last > 0).then(|| last.checked_add(1)).flatten()
}

/// Whether a registry did not want the rest of an upload, which says nothing about the blob as a whole.
pub(super) fn is_no_way_on(part: &Part, error: &RegistryError) -> bool {
    part.is_rest() && matches!(error.class(), Class::Refused | Class::Mismatch | Class::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_much_has_arrived_or_nothing() {
        assert_eq!(kept("0-4194303"), Some(4_194_304));
        assert_eq!(kept("bytes=0-9"), Some(10));
        for range in
            ["0-0", "0--1", "0-", "", "-", "5-9", "0-18446744073709551615", "0-99999999999999999999", "x"]
        {
            assert_eq!(kept(range), None, "{range}");
        }
    }
}
