//! Carries out a plan: from a source and a runtime to images.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lapstrake_catalog::PlatformKey;
use lapstrake_oci::image::{Blob, Image};
use lapstrake_oci::layer::{self, Compression, PackOptions, Scan, ScanError, ScanOptions};
use lapstrake_oci::tree::{FileTree, Kind, Node, Owner, TreePath, tree_digest};

use crate::app_registries::AppRegistries;
use crate::assemble::{AppLayer, assemble};
use crate::cache::LayerKey;
use crate::catalog::CatalogAt;
use crate::changes::{self, AppTrees, Listing, Recorded};
use crate::cli::NetworkMode;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::inputs::Inputs;
use crate::metadata::{ImageReport, Metadata};
use crate::native;
use crate::needs::{Facts, Needs, node_module_version};
use crate::network::{BuildNetwork, network};
use crate::plan::Plan;
use crate::platform::host_platform;
use crate::prepare::Runtimes;
use crate::python_records;
use crate::reuse::Reuse;
use crate::rootfs::{Rootfs, listing};
use crate::runtime::{RuntimeImage, RuntimeLayer};
use crate::scratch::Scratch;
use crate::secrets::{Search, Secrets, refuse};
use crate::settings;
use crate::source::{MaterialiseOptions, materialise};
use crate::start_program::{self, Places};
use crate::steps::{Workshop, hand_over};
use crate::targets::Targets;
use crate::tool_env::build_env;

/// The modification time of everything in a layer, in seconds since 1970: 1980-01-02, which is a time that zip archives
/// can hold in every time zone.
const LAYER_TIME: i64 = 315_619_200;

/// How a plan is carried out.
pub struct Options {
    /// What commands reach.
    pub network: NetworkMode,
    /// The time that the image is said to have been made at.
    pub created: Timestamp,
    /// What commands know and no image holds.
    pub secrets: Secrets,
    /// How layers are compressed.
    pub compression: Compression,
}

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
        let mut runtimes =
            metadata.timed("runtime", || Runtimes::prepare(plan, &platforms, catalog, context))?;
        metadata.runtime = Some(plan.runtime.clone());
        let of_runtime = runtimes.run.first().and_then(|image| settings::user(&image.user).ok());
        plan.run.user = plan.run.user.or(of_runtime);
        if self.targets.need_local_layers() {
            for layer in runtimes.run.iter_mut().flat_map(|image| &mut image.layers) {
                layer.file = Some(metadata.timed("runtime", || catalog.layer_file(layer, context))?);
            }
        }
        metadata.isolation = Some(if plan.has_commands() { "strict" } else { "none-needed" });
        for doubt in options.secrets.doubts(&plan.steps, &plan.build_env) {
            context.report.warning(&doubt);
        }
        let mut hidden = options.secrets.hidden();
        let (trees, facts) = if let Some(here) = &runtimes.here {
            let entry = catalog.catalog().entry(&here.build.entry);
            let npm = entry.and_then(|entry| entry.tools.get("npm").cloned());
            let network = network(options.network, context, &self.scratch.directory("sandbox")?)?;
            hidden.extend(network.logins.iter().cloned());
            let (build_image, run_image) = (&here.build, &here.run);
            let site =
                Site { plan, build_image, run_image, options, network, scratch: self.scratch, context, npm };
            site.trees(inputs, catalog, &platforms, metadata)?
        } else {
            let app = below_app(inputs.source.tree)?;
            let trees = changes::app_trees(app, FileTree::new(), plan.run.user());
            let facts = metadata.timed("inspect", || facts(&trees))?;
            (trees, facts)
        };
        let needs = Needs::of(&facts, node_module_version(&plan.runtime.entry));
        drop(facts);
        context.stop.check()?;
        let search = Search::new(&hidden);
        metadata.timed("search", || search_trees(&search, &trees))?;
        let packing = Packing {
            compression: options.compression,
            reuse: self.reuse,
            targets: self.targets,
            scratch: self.scratch,
            context,
        };
        let layers = metadata.timed("pack", || packing.pack(trees))?;
        // By now every file of it has been read.
        let digest = plan.source.digest.get();
        digest.map_err(|cause| Failure::io("could not read the source", cause))?;
        let mut images = Vec::new();
        for (platform, runtime) in platforms.iter().zip(&runtimes.run) {
            let app = layers
                .iter()
                .map(|layer| AppLayer {
                    role: layer.role,
                    blob: layer.blob.clone(),
                    diff_id: layer.diff_id.clone(),
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
}

fn search_trees(search: &Search, trees: &AppTrees) -> Result<(), Failure> {
    let leaks = search
        .in_trees(&[&trees.dependencies, &trees.app])
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
    options: &'a Options,
    network: BuildNetwork,
    scratch: &'a Scratch,
    context: &'a Context,
    npm: Option<String>,
}

impl Site<'_> {
    fn trees(
        &self,
        inputs: Inputs,
        catalog: &CatalogAt,
        platforms: &[PlatformKey],
        metadata: &mut Metadata,
    ) -> Result<(AppTrees, Facts), Failure> {
        let rootfs = Rootfs::new(&self.context.data_dir);
        let (build_layers, run_layers) = metadata.timed("unpack", || {
            Ok((
                self.unpacked(&rootfs, self.build_image, catalog)?,
                self.unpacked(&rootfs, self.run_image, catalog)?,
            ))
        })?;
        let app = self.scratch.directory("app")?;
        metadata.timed("source", || lay_out(&inputs, &app))?;
        let registries = AppRegistries::of(&inputs.source.tree, inputs.directory.as_ref());
        drop(inputs);
        let workshop = self.workshop(&build_layers, app.clone(), registries)?;
        metadata.timed("commands", || {
            workshop.run(&self.plan.steps, &self.context.stop.flag(), &self.context.report).map_err(
                |failure| match failure.exit {
                    // The sandbox knows that it was stopped, and not by which signal.
                    Exit::Interrupted => self.context.stop.failure(),
                    _ => failure,
                },
            )
        })?;
        self.context.stop.check()?;
        let run = listing(&run_layers)?;
        let trees = metadata
            .timed("scan", || self.collect(&workshop.changes(), &app, &listing(&build_layers)?, &run))?;
        let facts = metadata.timed("inspect", || facts(&trees))?;
        self.check_native(&facts, &trees, &run, platforms)?;
        self.check_start(&trees, &run);
        Ok((trees, facts))
    }

    fn unpacked(
        &self,
        rootfs: &Rootfs,
        image: &RuntimeImage,
        catalog: &CatalogAt,
    ) -> Result<Vec<PathBuf>, Failure> {
        let unpack = |layer: &RuntimeLayer| match rootfs.ready(&layer.diff_id) {
            Some(ready) => Ok(ready),
            None => {
                rootfs.layer(&catalog.layer_file(layer, self.context)?, &layer.descriptor, &layer.diff_id)
            }
        };
        image.layers.iter().map(unpack).collect()
    }

    fn workshop(
        &self,
        build_layers: &[PathBuf],
        app: PathBuf,
        registries: AppRegistries,
    ) -> Result<Workshop<'_>, Failure> {
        let scratch = self.scratch.directory("sandbox")?;
        let network = self.network.clone().or_registry_of(build_layers);
        let env = build_env(
            &network.indexes(self.npm.as_deref(), registries),
            &self.build_image.env,
            &self.plan.build_env,
            self.options.created.as_second(),
        );
        Ok(Workshop {
            layers: build_layers.iter().rev().cloned().collect(),
            app,
            scratch,
            working_dir: PathBuf::from(&self.plan.run.working_dir),
            env,
            mounts: network.mounts,
            network: network.mode,
            files: network.files,
            secrets: &self.options.secrets,
            flow: self.plan.flow,
        })
    }

    fn collect(
        &self,
        changed: &Path,
        app: &Path,
        build: &Listing,
        run: &Listing,
    ) -> Result<AppTrees, Failure> {
        let options =
            ScanOptions { skip: &changes::is_left_out_of_app, ..ScanOptions::new(self.plan.run.user()) };
        let app = layer::scan(app, &options).map_err(refused)?;
        self.tell_dropped("app/", &app);
        let outside = if changed.is_dir() {
            layer::scan_upper(changed, &ScanOptions::new(Owner::default())).map_err(refused)?
        } else {
            Scan::default()
        };
        self.tell_dropped("", &outside);
        let recorded = Recorded { tree: outside.tree, opaque: outside.opaque };
        let kept = changes::kept(recorded, build, run);
        let mut trees = changes::app_trees(below_app(app.tree)?, kept, self.plan.run.user());
        for tree in [&mut trees.dependencies, &mut trees.app] {
            python_records::settle(tree)
                .map_err(|cause| Failure::io("could not read what the commands installed", cause))?;
        }
        Ok(trees)
    }

    fn tell_dropped(&self, prefix: &str, scan: &Scan) {
        for dropped in scan.dropped.iter().filter(|dropped| !changes::is_left_out(&dropped.path)) {
            self.context.report.warning(&format!(
                "`{prefix}{}` is a {} and is not part of the image",
                dropped.path, dropped.what
            ));
        }
    }

    fn check_native(
        &self,
        facts: &Facts,
        trees: &AppTrees,
        run: &Listing,
        platforms: &[PlatformKey],
    ) -> Result<(), Failure> {
        let found = native::inspect(facts, &[&trees.dependencies, &trees.app], run);
        for missing in found.missing.iter().take(10) {
            self.context
                .report
                .warning(&format!("`{}` needs `{}`, which is not in the image", missing.file, missing.needs));
        }
        if found.missing.len() > 10 {
            self.context.report.warning(&format!(
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

impl Site<'_> {
    /// Says which programs of the start command are not in the image.
    fn check_start(&self, trees: &AppTrees, run: &Listing) {
        let config = &self.plan.run;
        let of_app = config.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value);
        let path = of_app.or_else(|| self.run_image.env.get("PATH")).map(String::as_str).unwrap_or_default();
        let places = Places { path, working_dir: &config.working_dir };
        let exists = |path: &str| native::exists(path, &[&trees.dependencies, &trees.app], run);
        for program in start_program::missing(&config.cmd, &places, exists) {
            self.context.report.warning(&start_program::warning(&program));
        }
    }
}

/// What the files of the app are.
fn facts(trees: &AppTrees) -> Result<Facts, Failure> {
    Facts::of_trees(&[&trees.dependencies, &trees.app])
        .map_err(|cause| Failure::io("could not inspect the files of the app", cause))
}

/// Lays the source out where commands may change it.
fn lay_out(inputs: &Inputs, app: &Path) -> Result<(), Failure> {
    let options = MaterialiseOptions { times: Some(&inputs.source.times), ..MaterialiseOptions::default() };
    materialise(&inputs.source.tree, app, &options).map_err(|cause| {
        Failure::because(Exit::Ours, "could not lay the source out for the build commands", cause)
    })?;
    hand_over(app)
}

fn refused(cause: ScanError) -> Failure {
    let exit = match cause {
        ScanError::Read { .. } => Exit::Ours,
        _ => Exit::Refused,
    };
    Failure::because(exit, "what the build commands made cannot become a layer", cause)
}

/// The source, below `/app`.
fn below_app(source: FileTree) -> Result<FileTree, Failure> {
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

struct Packed {
    role: &'static str,
    blob: Blob,
    diff_id: oci_spec::image::Digest,
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
        for (role, tree) in [("dependencies", trees.dependencies), ("app", trees.app)] {
            if !tree.is_empty() {
                self.context.stop.check()?;
                packed.push(self.layer(role, &tree, &directory)?);
            }
        }
        if packed.iter().any(|layer| !layer.is_kept) {
            self.reuse.prune(self.context);
        }
        Ok(packed)
    }

    fn layer(&self, role: &'static str, tree: &FileTree, directory: &Path) -> Result<Packed, Failure> {
        if let Some(kept) = self.kept(role, tree)? {
            return Ok(kept);
        }
        let options = PackOptions::new(LAYER_TIME).compression(self.compression);
        let mut sending = self.targets.sending();
        let layer = layer::pack_watched(tree, &options, directory, &mut |growing| {
            if let Some(sending) = &mut sending {
                sending.begin(growing);
            }
        })
        .map_err(|cause| Failure::because(Exit::Ours, format!("could not pack the {role} layer"), cause))?;
        if let Some(sending) = sending {
            sending.end(layer.descriptor.digest());
        }
        let (kept, blob) = self.reuse.keep_layer(&self.key(tree)?, layer)?;
        self.context.report.note(&format!(
            "packed {role}: {} files, {}",
            kept.files,
            indicatif::HumanBytes(blob.descriptor.size())
        ));
        Ok(Packed { role, blob, diff_id: kept.diff_id, is_kept: false })
    }

    fn key(&self, tree: &FileTree) -> Result<LayerKey, Failure> {
        let digest = tree_digest(tree)
            .map_err(|cause| Failure::because(Exit::Ours, "could not read what a layer is made of", cause))?;
        Ok(LayerKey::new(&digest, self.compression, LAYER_TIME))
    }

    /// The layer of a tree that was packed before.
    fn kept(&self, role: &'static str, tree: &FileTree) -> Result<Option<Packed>, Failure> {
        if !self.reuse.may_know_layers() {
            return Ok(None);
        }
        let Some((layer, blob)) = self.reuse.layer(&self.key(tree)?, self.targets) else { return Ok(None) };
        self.context.report.note(&format!("kept {role}: {} files, packed before", layer.files));
        Ok(Some(Packed { role, blob, diff_id: layer.diff_id, is_kept: true }))
    }
}
