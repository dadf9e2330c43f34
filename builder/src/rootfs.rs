//! Unpacked layers, kept between builds: the lower directories of the sandbox.
//!
//! A layer is unpacked once for each user that build commands run under, since that user owns what it sees. The
//! directory's name is the diffID, which is checked while the layer is unpacked. What its files were then, by sizes, owners,
//! modes and times, is kept as one hash beside it: nobody changes a file without a change of its status change time, which
//! nobody sets. Where the hash is another one the layer is unpacked again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lapstrake_oci::layer::{self, Compose, UnpackOptions};
use lapstrake_oci::tree::{ContentHasher, Owner, TreePath};
use oci_spec::image::{Descriptor, Digest};
use rustix::fs::{FlockOperation, flock};

use crate::changes::{Entry, Listing};
use crate::failure::{Exit, Failure};

/// The directory of unpacked layers.
pub struct Rootfs {
    directory: PathBuf,
    owner: Option<Owner>,
    /// The layers that were found unchanged, which are not looked at twice.
    sound: RefCell<BTreeSet<String>>,
}

impl Rootfs {
    /// The unpacked layers below a data directory, as the user of the build commands has them.
    #[must_use]
    pub fn new(data_dir: &Path, build_uid: u32) -> Self {
        let (uid, gid) = lapstrake_sandbox::outside_identity(build_uid);
        let owner = rustix::process::geteuid().is_root().then_some(Owner { uid, gid });
        Self { directory: data_dir.join("rootfs").join(uid.to_string()), owner, sound: RefCell::default() }
    }

    /// The directory of a layer that has been unpacked before and has not changed since.
    #[must_use]
    pub fn ready(&self, diff_id: &Digest) -> Option<PathBuf> {
        let ready = self.directory.join(diff_id.digest());
        if self.sound.borrow().contains(diff_id.digest()) {
            return Some(ready);
        }
        let known = fs_err::read(self.stamp(diff_id)).ok()?;
        let is_sound = ready.is_dir() && stamp_of(&ready).is_ok_and(|found| found.as_slice() == known);
        is_sound.then(|| {
            self.sound.borrow_mut().insert(diff_id.digest().to_owned());
            ready
        })
    }

    /// Where it is kept what the files of a layer were.
    fn stamp(&self, diff_id: &Digest) -> PathBuf {
        self.directory.join(format!("{}.stamp", diff_id.digest()))
    }

    /// The directory of a layer, unpacked now if it was not before.
    pub fn layer(&self, blob: &Path, descriptor: &Descriptor, diff_id: &Digest) -> Result<PathBuf, Failure> {
        if let Some(ready) = self.ready(diff_id) {
            return Ok(ready);
        }
        let ready = self.directory.join(diff_id.digest());
        fs_err::create_dir_all(&self.directory)
            .map_err(|cause| Failure::io("could not make the directory of unpacked layers", cause))?;
        let lock = self.lock(diff_id)?;
        if self.ready(diff_id).is_none() {
            self.put_aside(&ready)
                .map_err(|cause| Failure::io("could not put a damaged layer aside", cause))?;
            let partial = self.directory.join(format!("{}.partial", diff_id.digest()));
            layer::remove_tree(&partial)
                .map_err(|cause| Failure::io("could not remove an incomplete layer", cause))?;
            let options = UnpackOptions { owner: self.owner, ..UnpackOptions::new(Compose::Overlay) };
            layer::unpack(blob, descriptor, diff_id, &partial, &options).map_err(|cause| {
                Failure::because(
                    Exit::Refused,
                    format!("could not unpack layer `{}`", descriptor.digest()),
                    cause,
                )
            })?;
            self.keep(&partial, &ready, diff_id)
                .map_err(|cause| Failure::io("could not keep an unpacked layer", cause))?;
        }
        drop(lock);
        Ok(ready)
    }

    /// Takes a layer that has changed out of the way. Commands that run on it keep it until the next time.
    fn put_aside(&self, ready: &Path) -> io::Result<()> {
        let aside = self.directory.join("damaged");
        layer::remove_tree(&aside)?;
        match fs_err::rename(ready, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }

    /// Gives an unpacked layer its name, once all of it is on the disk.
    fn keep(&self, partial: &Path, ready: &Path, diff_id: &Digest) -> io::Result<()> {
        rustix::fs::syncfs(fs_err::File::open(partial)?)?;
        fs_err::write(self.stamp(diff_id), stamp_of(partial)?)?;
        fs_err::rename(partial, ready)?;
        fs_err::File::open(&self.directory)?.sync_all()
    }

    fn lock(&self, diff_id: &Digest) -> Result<File, Failure> {
        let path = self.directory.join(format!("{}.lock", diff_id.digest()));
        let failed = |cause| Failure::io("could not lock an unpacked layer", cause);
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        Ok(file)
    }
}

/// What the files below a directory are: one hash over paths, sizes, owners, modes and times.
fn stamp_of(directory: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = ContentHasher::default();
    for entry in walkdir::WalkDir::new(directory).min_depth(1).follow_links(false).sort_by_file_name() {
        let entry = entry.map_err(io::Error::from)?;
        let found = entry.metadata().map_err(io::Error::from)?;
        let path = entry.path().strip_prefix(directory).unwrap_or(entry.path()).as_os_str().as_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        let numbers = [
            found.len().cast_signed(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
            i64::from(found.mode()),
            i64::from(found.uid()),
            i64::from(found.gid()),
        ];
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
    }
    Ok(hasher.finish().0)
}

/// Lists the paths of unpacked layers, lowest first.
pub fn listing<'a>(layers: impl IntoIterator<Item = &'a PathBuf>) -> Result<Listing, Failure> {
    let mut listing = Listing::new();
    for layer in layers {
        for entry in walkdir::WalkDir::new(layer).min_depth(1).follow_links(false) {
            let entry = entry.map_err(|cause| Failure::io("could not list a layer", cause.into()))?;
            let Ok(below) = entry.path().strip_prefix(layer) else { continue };
            let path = TreePath::new(below.as_os_str().as_encoded_bytes())
                .map_err(|cause| Failure::because(Exit::Ours, "could not list a layer", cause))?;
            let kind = if entry.file_type().is_dir() { Entry::Directory } else { Entry::Other };
            listing.insert(path, kind);
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::layer::{PackOptions, PackedLayer, pack};
    use lapstrake_oci::tree::{FileTree, Node};

    use super::*;

    const FILES: usize = 16;

    fn layer_of_files(scratch: &Path) -> PackedLayer {
        let node = |number: usize| {
            let path = TreePath::new(format!("usr/bin/{number}")).unwrap();
            (path, Node::file(vec![u8::try_from(number).unwrap(); 1000], 0o755))
        };
        let parents = ["usr", "usr/bin"].map(|path| (TreePath::new(path).unwrap(), Node::directory()));
        let tree: FileTree = parents.into_iter().chain((0..FILES).map(node)).collect();
        pack(&tree, &PackOptions::new(0), scratch).unwrap()
    }

    /// The whole files, or none.
    fn whole(directory: &Path) -> bool {
        (0..FILES).all(|number| {
            let found = fs_err::read(directory.join(format!("usr/bin/{number}")));
            found.is_ok_and(|found| found == vec![u8::try_from(number).unwrap(); 1000])
        })
    }

    #[test]
    fn cac_03_whatever_changes_in_an_unpacked_layer_is_found_and_the_layer_unpacked_again() {
        use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let packed = layer_of_files(dir.path());
        // Each run of the program looks anew.
        let rootfs = || Rootfs::new(dir.path(), 65533);
        let get = || rootfs().layer(packed.blob.path(), &packed.descriptor, &packed.diff_id).unwrap();
        let ready = get();
        assert!(whole(&ready) && rootfs().ready(&packed.diff_id).is_some());
        let mut random = 7_u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for _ in 0..64 {
            let victim = ready.join(format!("usr/bin/{}", below(FILES as u64)));
            let (file, at) =
                (fs_err::OpenOptions::new().read(true).write(true).open(&victim).unwrap(), below(1000));
            let mut byte = [0];
            file.file().read_exact_at(&mut byte, at).unwrap();
            let times = file.metadata().unwrap().modified().unwrap();
            file.file().write_all_at(&[byte[0] ^ 1 << below(8)], at).unwrap();
            // Whoever sets the time of the content back does not set that of the change.
            file.file().set_modified(times).unwrap();
            assert!(rootfs().ready(&packed.diff_id).is_none() && whole(&get()));
        }
        let one = ready.join("usr/bin/1");
        let others: [&dyn Fn(); 5] = [
            &|| fs_err::remove_file(&one).unwrap(),
            &|| fs_err::write(ready.join("usr/bin/new"), "new").unwrap(),
            &|| fs_err::set_permissions(&one, PermissionsExt::from_mode(0o644)).unwrap(),
            &|| {
                fs_err::remove_file(&one).unwrap();
                symlink("2", &one).unwrap();
            },
            &|| fs_err::write(rootfs().stamp(&packed.diff_id), "").unwrap(),
        ];
        for change in others {
            change();
            assert!(rootfs().ready(&packed.diff_id).is_none() && whole(&get()));
            assert!(rootfs().ready(&packed.diff_id).is_some() && !ready.join("usr/bin/new").exists());
        }
        println!("figure CAC-03: 64 of 64 flips in an unpacked layer found, and 5 of 5 other changes");
    }

    #[test]
    fn upper_layers_replace_what_lower_ones_list() {
        let (lower, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(lower.path().join("a/b")).unwrap();
        std::fs::create_dir(upper.path().join("a")).unwrap();
        std::fs::write(upper.path().join("a/b"), b"").unwrap();
        let paths = [lower.path().to_owned(), upper.path().to_owned()];
        let listing = listing(&paths).unwrap();
        let entries: Vec<_> = listing.iter().map(|(path, entry)| (path.to_string(), *entry)).collect();
        assert_eq!(entries, [("a".to_owned(), Entry::Directory), ("a/b".to_owned(), Entry::Other)]);
    }
}
