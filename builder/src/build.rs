//! Carries out a plan: from a source and a runtime to images.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lapstrake_catalog::PlatformKey;
use lapstrake_oci::image::{Blob, Image};
use lapstrake_oci::layer::{self, Compression, PackOptions};
use lapstrake_oci::tree::{ContentDigest, FileTree, Kind, Node, TreePath, tree_digest};
use lapstrake_sandbox::{Isolation, Mount};
use oci_spec::image::Digest;

use crate::app_registries::AppRegistries;
use crate::assemble::{AppLayer, assemble};
use crate::bytecode::Compiler;
use crate::cache::{LayerKey, Packages, Paths};
use crate::catalog::CatalogAt;
use crate::changes::{self, Listing};
use crate::cli::NetworkArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetched::FetchedReport;
use crate::inputs::Inputs;
use crate::layering::{AppTrees, LayerTree, Role, app_trees};
use crate::lockfile::{enforced, registries_of_app};
use crate::metadata::{ImageReport, Metadata};
use crate::native;
use crate::needs::{Facts, KnownFacts, Needs, node_module_version};
use crate::network::{BuildNetwork, network};
use crate::plan::Plan;
use crate::platform::host_platform;
use crate::prepare::Runtimes;
use crate::reuse::Reuse;
use crate::rootfs::{Rootfs, listing};
use crate::runtime::{RuntimeImage, RuntimeLayer};
use crate::scratch::Scratch;
use crate::secrets::{Search, Secrets, refuse};
use crate::sequence::{End, Ground, Keeping, PackedContents, Ran, Sequence, Surroundings};
use crate::settings;
use crate::start_program::{self, Places};
use crate::state;
use crate::steps::{Workshop, give_to_commands};
use crate::targets::Targets;
use crate::tool_env::{Hashes, Indexes, PACKAGES, build_env};

/// The modification time of everything in a layer, in seconds since 1970: 1980-01-02, which is a time that zip archives
/// can hold in every time zone.
pub const LAYER_TIME: i64 = 315_619_200;

/// How a plan is carried out.
pub struct Options {
    /// What commands reach.
    pub network: NetworkArgs,
    /// The time that the image is said to have been made at.
    pub created: Timestamp,
    /// What commands know and no image holds.
    pub secrets: Secrets,
    /// How layers are compressed.
    pub compression: Compression,
    /// Whether everything that commands fetch must be on record: they find no downloads of earlier builds then.
    pub records_fetches: bool,
}

/// What is said where commands run in isolation mode `host`.
const UNKEPT: &str = "nothing keeps the build commands from files, processes and networks that you reach: isolation mode `host`";

/// A build: what carries a plan out.
pub struct Build<'a> {
    /// Where runtimes come from.
    pub catalog: &'a CatalogAt,
    /// How it is done.
    pub options: &'a Options,
    /// Where the image goes.
    pub targets: &'a Targets<'a>,
    /// What was done before.
    pub reuse: &'a Reuse,
    /// A directory of its own.
    pub scratch: &'a Scratch,
    /// The surroundings.
    pub context: &'a Context,
}

impl Build<'_> {
    /// Builds one image for each platform of the plan.
    pub fn images(
        &self,
        plan: &mut Plan,
        inputs: Inputs,
        metadata: &mut Metadata,
    ) -> Result<Vec<Image>, Failure> {
        let Self { catalog, options, context, .. } = *self;
        let platforms = platforms(plan)?;
        let runtimes = self.runtimes(plan, &platforms, metadata)?;
        let build_layers = runtimes.here.iter().flat_map(|here| &here.build.layers);
        metadata.build_layers = build_layers.map(RuntimeLayer::report).collect();
        metadata.isolation = Some(if plan.has_commands() { context.isolation.name() } else { "none-needed" });
        if plan.has_commands() && context.isolation == Isolation::Host {
            context.report.warning(UNKEPT);
        }
        for doubt in options.secrets.doubts(&plan.steps, &plan.build_env) {
            context.report.warning(&doubt);
        }
        let mut hidden = options.secrets.hidden();
        let network = match &runtimes.here {
            Some(_) => Some(network(&options.network, context, &self.scratch.directory("sandbox")?)?),
            None => None,
        };
        hidden.extend(network.iter().flat_map(|network| network.logins.iter().cloned()));
        let search = Search::new(&hidden);
        let packing = Packing {
            compression: options.compression,
            reuse: self.reuse,
            targets: self.targets,
            scratch: self.scratch,
            context,
        };
        let (trees, facts, ran) = if let (Some(here), Some(network)) = (&runtimes.here, network) {
            let of_app = registries_of_app(&inputs.source.tree, inputs.directory.as_ref());
            let network = network.with_indexes(of_app);
            let entry = catalog.catalog().entry(&here.build.entry);
            let npm = entry.and_then(|entry| entry.tools.get("npm").cloned());
            let site = Site {
                plan,
                build_image: &here.build,
                run_image: &here.run,
                catalog,
                packing: &packing,
                search: &search,
                options,
                network,
                registries: AppRegistries::of(&inputs.source.tree, inputs.directory.as_ref()),
                hashes: enforced(&options.network, &inputs.source.tree, inputs.directory.as_ref()),
                place: inputs.address.place(),
                compiler: Compiler::of(&here.build.entry, catalog.catalog()),
                npm,
                packages: OnceCell::new(),
                workshop: OnceCell::new(),
                rootfs: Rootfs::new(&context.data_dir, context.build_uid),
                build_paths: OnceCell::new(),
                run_paths: OnceCell::new(),
            };
            let Commanded { trees, facts, ran } = site.trees(inputs, &platforms, metadata)?;
            (trees, facts, Some(ran))
        } else {
            let app = below_app(inputs.source.tree)?;
            let trees = app_trees(app, FileTree::new(), plan.run.user());
            let facts = metadata.timed("inspect", || facts(&trees, &KnownFacts::new()))?;
            (trees, facts, None)
        };
        let needs = Needs::of(&facts, node_module_version(&plan.runtime.entry));
        drop(facts);
        context.stop.check()?;
        metadata.timed("search", || search_trees(&search, &trees))?;
        let layers = metadata.timed("pack", || packing.pack(trees))?;
        if let Some(ran) = ran {
            metadata.commands = ran.verdicts;
            let packed = layers.iter().map(|layer| layer.contents.clone()).collect();
            let keeping = Keeping { reuse: self.reuse, search: &search, scratch: self.scratch };
            metadata.timed("keep", || keeping.keep(ran.new, packed, &ran.layers))?;
        }
        // By now every file of it has been read.
        let digest = plan.source.digest.get();
        digest.map_err(|cause| Failure::io("could not read the source", cause))?;
        let mut images = Vec::new();
        for (platform, runtime) in platforms.iter().zip(&runtimes.run) {
            let app = layers
                .iter()
                .map(|layer| AppLayer {
                    role: layer.role,
                    part: layer.part.clone(),
                    blob: layer.contents.blob.clone(),
                    diff_id: layer.contents.layer.diff_id.clone(),
                    is_kept: layer.is_kept,
                })
                .collect();
            let (image, reports) = assemble(plan, platform, runtime, app, &needs, options.created)?;
            let documents = [("the image config", &image.config), ("the image manifest", &image.manifest)];
            let leaks =
                documents.iter().filter_map(|(name, document)| search.in_document(name, document.bytes()));
            refuse(&leaks.collect::<Vec<_>>())?;
            let report = ImageReport {
                platform: platform.to_string(),
                digest: image.manifest.digest().clone(),
                layers: reports,
            };
            metadata.images.push(report);
            images.push(image);
        }
        Ok(images)
    }

    /// Makes the runtime's images ready, as far as they are needed here.
    fn runtimes(
        &self,
        plan: &mut Plan,
        platforms: &[PlatformKey],
        metadata: &mut Metadata,
    ) -> Result<Runtimes, Failure> {
        let Self { catalog, context, .. } = *self;
        let mut runtimes =
            metadata.timed("runtime", || Runtimes::prepare(plan, platforms, catalog, context))?;
        metadata.runtime = Some(plan.runtime.clone());
        let of_runtime = runtimes.run.first().and_then(|image| settings::user(&image.user).ok());
        plan.run.user = plan.run.user.or(of_runtime);
        if self.targets.need_local_layers() {
            for layer in runtimes.run.iter_mut().flat_map(|image| &mut image.layers) {
                layer.file = Some(metadata.timed("runtime", || catalog.layer_file(layer, context))?);
            }
        }
        let base: Vec<Blob> =
            runtimes.run.iter().flat_map(|image| &image.layers).map(RuntimeLayer::blob).collect();
        self.targets.mount_ahead(&base);
        Ok(runtimes)
    }
}

fn search_trees(search: &Search, trees: &AppTrees) -> Result<(), Failure> {
    let leaks = search
        .in_trees(&trees.trees())
        .map_err(|cause| Failure::io("could not search what the commands made for secrets", cause))?;
    refuse(&leaks)
}

fn platforms(plan: &Plan) -> Result<Vec<PlatformKey>, Failure> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|cause| Failure::because(Exit::NotUnderstood, "the platform is not understood", cause))
    };
    plan.platforms.iter().map(parse).collect()
}

/// A build with commands: where they run and what becomes of their changes.
struct Site<'a> {
    plan: &'a Plan,
    build_image: &'a RuntimeImage,
    run_image: &'a RuntimeImage,
    catalog: &'a CatalogAt,
    packing: &'a Packing<'a>,
    search: &'a Search,
    options: &'a Options,
    network: BuildNetwork,
    registries: AppRegistries,
    hashes: Hashes,
    npm: Option<String>,
    /// Where the source comes from.
    place: Option<String>,
    /// What compiles the packages of the app.
    compiler: Option<Compiler>,
    /// What installers have downloaded, where it is kept.
    packages: OnceCell<Option<Packages>>,
    /// What is made ready only when a command has to run.
    workshop: OnceCell<Workshop<'a>>,
    /// The layers that commands run on.
    rootfs: Rootfs,
    build_paths: OnceCell<Listing>,
    run_paths: OnceCell<Listing>,
}

/// What the commands of a build have made.
struct Commanded {
    trees: AppTrees,
    facts: Facts,
    ran: Ran,
}

impl<'a> Site<'a> {
    fn trees(
        &self,
        inputs: Inputs,
        platforms: &[PlatformKey],
        metadata: &mut Metadata,
    ) -> Result<Commanded, Failure> {
        let sequence = self.sequence()?;
        let source = inputs.source.tree;
        if self.packing.reuse.looks() {
            if let Some(ran) = self.run(&sequence, source.clone(), true, metadata)?
                && let Some(done) = self.finish(ran, platforms, metadata)?
            {
                return Ok(done);
            }
            let note = "what commands made before is not to be had any more: running them again";
            self.packing.context.report.note(note);
        }
        let ran = self.run(&sequence, source, false, metadata)?;
        let done = ran.map(|ran| self.finish(ran, platforms, metadata)).transpose()?;
        done.flatten().ok_or_else(|| Failure::new(Exit::Ours, "what the commands made is gone"))
    }

    /// Runs the commands; none when what they made before is needed and not to be had. Where one of them fails, what was
    /// made before it is kept.
    fn run(
        &self,
        sequence: &Sequence<'_>,
        source: FileTree,
        looks: bool,
        metadata: &mut Metadata,
    ) -> Result<Option<Ran>, Failure> {
        let Packing { reuse, scratch, context, .. } = *self.packing;
        let (ran, end) =
            metadata.timed("commands", || sequence.run(source, self, scratch, context, looks))?;
        // Where the commands run once more, nothing was taken from earlier builds in the end.
        let before = std::mem::take(&mut metadata.fetched).into_iter().filter(|one| !one.reused);
        metadata.fetched = FetchedReport::joined(before.chain(ran.fetched.iter().cloned()));
        if let Some(Some(packages)) = self.packages.get() {
            // It is found out another time.
            let _ = packages.measure();
        }
        match end {
            End::Done => Ok(Some(ran)),
            End::Gone => Ok(None),
            End::Failed(failure) => {
                metadata.commands = ran.verdicts;
                if matches!(failure.exit, Exit::AppFailed | Exit::Transient) {
                    let keeping = Keeping { reuse, search: self.search, scratch };
                    // The failure of the command is what there is to tell.
                    let _ = metadata.timed("keep", || keeping.keep(ran.new, Vec::new(), &ran.layers));
                }
                Err(failure)
            }
        }
    }

    /// From what the commands left to the trees of the image; none when contents of them are nowhere to be had.
    fn finish(
        &self,
        ran: Ran,
        platforms: &[PlatformKey],
        metadata: &mut Metadata,
    ) -> Result<Option<Commanded>, Failure> {
        let (mut trees, run) = (self.trees_of(&ran)?, self.run_paths()?);
        if !metadata.timed("fetch", || self.bring(&mut trees, &ran))? {
            return Ok(None);
        }
        self.tell_dropped(&ran);
        let facts = metadata.timed("inspect", || facts(&trees, &ran.state.facts))?;
        self.check_native(&facts, &trees, run, platforms)?;
        self.check_start(&trees, run);
        Ok(Some(Commanded { trees, facts, ran }))
    }

    fn sequence(&self) -> Result<Sequence<'_>, Failure> {
        let layers = |image: &RuntimeImage| image.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let indexes = Indexes {
            app: self.registries,
            hashes: self.hashes,
            npm: self.npm.as_deref(),
            ..Indexes::default()
        };
        let surroundings = Surroundings {
            build_layers: layers(self.build_image),
            run_layers: layers(self.run_image),
            env: build_env(&indexes, &self.build_image.env, &self.plan.build_env),
            network: self.options.network.clone(),
            isolation: self.packing.context.isolation,
            records_fetches: self.options.records_fetches,
        };
        let Packing { reuse, context, .. } = *self.packing;
        Sequence::new(self.plan, &surroundings, &self.options.secrets, self.compiler.as_ref(), reuse, context)
    }

    /// The layers of an image, unpacked, lowest first.
    fn unpacked(&self, image: &RuntimeImage) -> Result<Vec<PathBuf>, Failure> {
        let (context, rootfs) = (self.packing.context, &self.rootfs);
        let unpack = |layer: &RuntimeLayer| match rootfs.ready(&layer.diff_id) {
            Some(ready) => Ok(ready),
            None => {
                rootfs.layer(&self.catalog.layer_file(layer, context)?, &layer.descriptor, &layer.diff_id)
            }
        };
        image.layers.iter().map(unpack).collect()
    }

    /// The paths of an image, for which its layers need not be here if they were listed before.
    fn paths(&self, image: &RuntimeImage) -> Result<Listing, Failure> {
        let layers: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let key = Paths::key(&layers);
        if let Some(listing) = self.packing.reuse.value::<Paths>(&key).and_then(|paths| paths.listing()) {
            return Ok(listing);
        }
        let listing = listing(&self.unpacked(image)?)?;
        if let Some(paths) = Paths::of(&listing) {
            self.packing.reuse.keep_value(&key, &paths);
        }
        Ok(listing)
    }

    fn run_paths(&self) -> Result<&Listing, Failure> {
        in_cell(&self.run_paths, || self.paths(self.run_image))
    }

    fn make_workshop(&self) -> Result<Workshop<'a>, Failure> {
        let build_layers = self.unpacked(self.build_image)?;
        let network = self.network.clone().or_registry_of(&build_layers);
        let env = build_env(
            &Indexes { hashes: self.hashes, ..network.indexes(self.npm.as_deref(), self.registries) },
            &self.build_image.env,
            &self.plan.build_env,
        );
        let packages = self.packages.get_or_init(|| {
            let is_given = !self.options.records_fetches;
            is_given.then(|| self.packing.reuse.packages(self.place.as_deref())).flatten()
        });
        let mut mounts = network.mounts;
        if let Some(packages) = packages {
            give_to_commands(&packages.tree(), self.packing.context.build_uid)?;
            mounts.push(Mount::writable(packages.tree(), PACKAGES));
        }
        Ok(Workshop {
            layers: build_layers.into_iter().rev().collect(),
            scratch: self.packing.scratch.directory("sandbox")?,
            isolation: self.packing.context.isolation,
            build_uid: self.packing.context.build_uid,
            limits: self.packing.context.limits.commands.clone(),
            working_dir: PathBuf::from(&self.plan.run.working_dir),
            env,
            mounts,
            network: network.mode,
            files: network.files,
            secrets: &self.options.secrets,
            fetched: RefCell::default(),
            indexes: network.index_hosts,
        })
    }

    /// The trees of the image's layers.
    fn trees_of(&self, ran: &Ran) -> Result<AppTrees, Failure> {
        let owner = self.plan.run.user();
        let recorded = ran.state.outside_of_image();
        let kept = if recorded.is_empty() {
            FileTree::new()
        } else {
            changes::kept(recorded, self.build_paths()?, self.run_paths()?)
        };
        let (mut app, mut outside) = (ran.state.app_of_image(owner)?, kept);
        if let Some(compiler) = &self.compiler {
            compiler.add(&ran.state, &mut app, &mut outside);
        }
        Ok(app_trees(app, outside, owner))
    }

    /// Brings contents to this machine that are in no layer that was packed before; false when they are not to be had.
    fn bring(&self, trees: &mut AppTrees, ran: &Ran) -> Result<bool, Failure> {
        for tree in trees.0.iter_mut().map(|layer| &mut layer.tree) {
            let missing = state::missing(&[tree]);
            if missing.is_empty() || self.packing.is_known(tree)? {
                continue;
            }
            let scratch = self.packing.scratch.path();
            match self.packing.reuse.contents(&missing, &ran.layers, scratch) {
                Some(here) => state::bring(tree, &here),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn tell_dropped(&self, ran: &Ran) {
        let is_left_out = |path: &str| {
            let below = path.strip_prefix("app/").unwrap_or(path);
            let is_out = |path: &str, is_out: fn(&TreePath) -> bool| {
                TreePath::new(path).is_ok_and(|path| is_out(&path))
            };
            if below == path {
                is_out(path, changes::is_left_out)
            } else {
                is_out(below, changes::is_left_out_of_app)
            }
        };
        for (path, what) in ran.dropped.iter().filter(|(path, _)| !is_left_out(path)) {
            self.packing
                .context
                .report
                .warning(&format!("`{path}` is a {what} and is not part of the image"));
        }
    }

    fn check_native(
        &self,
        facts: &Facts,
        trees: &AppTrees,
        run: &Listing,
        platforms: &[PlatformKey],
    ) -> Result<(), Failure> {
        let found = native::inspect(facts, &trees.trees(), run);
        for missing in found.missing.iter().take(10) {
            self.packing
                .context
                .report
                .warning(&format!("`{}` needs `{}`, which is not in the image", missing.file, missing.needs));
        }
        if found.missing.len() > 10 {
            self.packing.context.report.warning(&format!(
                "{} more files need something that is not in the image",
                found.missing.len() - 10
            ));
        }
        let host = host_platform()?;
        let foreign: Vec<String> =
            platforms.iter().filter(|platform| **platform != host).map(ToString::to_string).collect();
        match found.binaries.first() {
            Some(first) if !foreign.is_empty() => Err(Failure::new(
                Exit::NotUnderstood,
                format!("the build commands made machine code for {host} ({} files, `{first}` first), so they cannot serve {}", found.binaries.len(), foreign.join(", ")),
            )
            .hint(format!("build on a machine of each platform and push an index of both, or install packages without machine code; `--platform {host}` builds for this one"))),
            _ => Ok(()),
        }
    }
}

impl Ground for Site<'_> {
    fn workshop(&self) -> Result<&Workshop<'_>, Failure> {
        in_cell(&self.workshop, || self.make_workshop())
    }

    fn build_paths(&self) -> Result<&Listing, Failure> {
        in_cell(&self.build_paths, || self.paths(self.build_image))
    }
}

/// The value of a cell, made now if it was not before.
fn in_cell<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, Failure>) -> Result<&T, Failure> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

impl Site<'_> {
    /// Says which programs of the start command are not in the image.
    fn check_start(&self, trees: &AppTrees, run: &Listing) {
        let config = &self.plan.run;
        let of_app = config.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value);
        let path = of_app.or_else(|| self.run_image.env.get("PATH")).map(String::as_str).unwrap_or_default();
        let places = Places { path, working_dir: &config.working_dir };
        let trees = trees.trees();
        let exists = |path: &str| native::exists(path, &trees, run);
        for program in start_program::missing(&config.cmd, &places, exists) {
            self.packing.context.report.warning(&start_program::warning(&program));
        }
    }
}

/// What the files of the app are.
fn facts(trees: &AppTrees, known: &KnownFacts) -> Result<Facts, Failure> {
    Facts::of_trees(&trees.trees(), known)
        .map_err(|cause| Failure::io("could not inspect the files of the app", cause))
}

/// The source, below `/app`.
pub fn below_app(source: FileTree) -> Result<FileTree, Failure> {
    let ours = |cause| Failure::because(Exit::Ours, "could not place the source in the image", cause);
    let root = TreePath::new("app").map_err(ours)?;
    let mut nodes = vec![(root.clone(), Node::directory())];
    for (path, mut node) in source {
        if changes::is_left_out_of_app(&path) {
            continue;
        }
        if let Kind::Hardlink(target) = &node.kind {
            node.kind = Kind::Hardlink(root.join(target.as_bytes()).map_err(ours)?);
        }
        nodes.push((root.join(path.as_bytes()).map_err(ours)?, node));
    }
    Ok(nodes.into_iter().collect())
}

/// A layer of the app.
struct Packed {
    role: Role,
    part: Option<TreePath>,
    contents: PackedContents,
    /// Whether it was packed before.
    is_kept: bool,
}

/// From trees to layers, which are sent while they are packed.
struct Packing<'a> {
    compression: Compression,
    reuse: &'a Reuse,
    targets: &'a Targets<'a>,
    scratch: &'a Scratch,
    context: &'a Context,
}

impl Packing<'_> {
    fn pack(&self, trees: AppTrees) -> Result<Vec<Packed>, Failure> {
        let directory = self.scratch.directory("layers")?;
        let mut packed = Vec::new();
        // What is kept meanwhile is known by what it was packed from, and asked for by nobody.
        let looks = self.reuse.may_know_layers();
        for layer in trees.0.into_iter().filter(|layer| !layer.tree.is_empty()) {
            self.context.stop.check()?;
            let kept = if looks { self.kept(&layer)? } else { None };
            packed.push(self.layer(layer, kept, &directory)?);
        }
        if packed.iter().any(|layer| !layer.is_kept) {
            self.targets.expect_new();
            self.reuse.prune(self.context);
        }
        Ok(packed)
    }

    fn layer(
        &self,
        layer: LayerTree,
        kept: Option<PackedContents>,
        directory: &Path,
    ) -> Result<Packed, Failure> {
        if let Some(contents) = kept {
            return Ok(Packed { role: layer.role, part: layer.part, contents, is_kept: true });
        }
        let tree = &layer.tree;
        let options = PackOptions::new(LAYER_TIME).compression(self.compression);
        let mut sending = self.targets.sending();
        let packed = layer::pack_watched(tree, &options, directory, &mut |growing| {
            if let Some(sending) = &mut sending {
                sending.begin(growing);
            }
        })
        .map_err(|cause| {
            Failure::because(Exit::Ours, format!("could not pack the {} layer", layer.role.name()), cause)
        })?;
        if let Some(sending) = sending {
            sending.end(packed.descriptor.digest());
        }
        let (kept, blob) = self.reuse.keep_layer(&self.key(tree)?, packed)?;
        self.context.report.note(&format!(
            "packed {layer}: {} files, {}",
            kept.files,
            indicatif::HumanBytes(blob.descriptor.size())
        ));
        let contents = PackedContents { contents: contents(tree), layer: kept, blob };
        Ok(Packed { role: layer.role, part: layer.part, contents, is_kept: false })
    }

    /// Whether the layer of a tree was packed before, and is to be had.
    fn is_known(&self, tree: &FileTree) -> Result<bool, Failure> {
        Ok(self.reuse.layer(&self.key(tree)?, self.targets).is_some())
    }

    fn key(&self, tree: &FileTree) -> Result<LayerKey, Failure> {
        let digest = tree_digest(tree)
            .map_err(|cause| Failure::because(Exit::Ours, "could not read what a layer is made of", cause))?;
        Ok(LayerKey::new(&digest, self.compression, LAYER_TIME))
    }

    /// The layer of a tree that was packed before.
    fn kept(&self, tree: &LayerTree) -> Result<Option<PackedContents>, Failure> {
        let Some((layer, blob)) = self.reuse.layer(&self.key(&tree.tree)?, self.targets) else {
            return Ok(None);
        };
        self.context.report.note(&format!("kept {tree}: {} files, packed before", layer.files));
        Ok(Some(PackedContents { contents: contents(&tree.tree), layer, blob }))
    }
}

/// The contents of the files of a tree, as far as they are known.
fn contents(tree: &FileTree) -> BTreeSet<ContentDigest> {
    let known = tree.iter().filter_map(|(_, node)| match &node.kind {
        Kind::File(content) => content.known_digest(),
        _ => None,
    });
    known.collect()
}
