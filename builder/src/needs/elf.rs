//! The few facts of an ELF file that matter here. A file that only looks like ELF, or is damaged, has none: it is the app's
//! own business.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::FileHeader64;
use object::read::elf::{Dyn as _, FileHeader as _, Sym as _};
use object::{Endianness, ReadRef};
use serde::{Deserialize, Serialize};

/// What an ELF file needs and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elf {
    /// Its own name as a library (`DT_SONAME`).
    pub name: Option<String>,
    /// The libraries that it needs (`DT_NEEDED`), and the versions of their symbols (`.gnu.version_r`) but weak ones.
    pub needed: BTreeMap<String, BTreeSet<String>>,
    /// The versions of the symbols that it gives (`.gnu.version_d`).
    pub versions: BTreeSet<String>,
    /// The functions of Node-API that it takes from elsewhere.
    pub napi_used: BTreeSet<String>,
    /// The functions of Node-API that it gives.
    pub napi_given: BTreeSet<String>,
    /// The `NODE_MODULE_VERSION` that it says it was made for.
    pub node_modules: Option<u32>,
}

type Header = FileHeader64<Endianness>;

impl Elf {
    /// Reads a 64-bit ELF file.
    #[must_use]
    pub fn read<'data, R: ReadRef<'data>>(data: R) -> Self {
        let mut elf = Self::default();
        // What was read before a damage counts.
        let _ = elf.fill(data);
        elf
    }

    fn fill<'data, R: ReadRef<'data>>(&mut self, data: R) -> object::Result<()> {
        let header = Header::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        if let Some((entries, link)) = sections.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            for entry in entries {
                let text = || Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
                match entry.tag(endian) {
                    object::elf::DT_NEEDED => {
                        self.needed.insert(text()?, BTreeSet::new());
                    }
                    object::elf::DT_SONAME => self.name = Some(text()?),
                    _ => {}
                }
            }
        }
        if let Some((mut needs, link)) = sections.gnu_verneed(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            while let Some((need, mut versions)) = needs.next()? {
                let library = String::from_utf8_lossy(need.file(endian, strings)?).into_owned();
                let known = self.needed.entry(library).or_default();
                while let Some(version) = versions.next()? {
                    if !version.vna_flags.get(endian).contains(object::elf::VER_FLG_WEAK) {
                        known.insert(String::from_utf8_lossy(version.name(endian, strings)?).into_owned());
                    }
                }
            }
        }
        if let Some((mut definitions, link)) = sections.gnu_verdef(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            while let Some((_, mut names)) = definitions.next()? {
                if let Some(name) = names.next()? {
                    self.versions.insert(String::from_utf8_lossy(name.name(endian, strings)?).into_owned());
                }
            }
        }
        let symbols = sections.symbols(endian, data, object::elf::SHT_DYNSYM)?;
        for symbol in symbols.iter() {
            let name = symbol.name(endian, symbols.strings())?;
            if name.starts_with(b"napi_") || name.starts_with(b"node_api_") {
                let name = String::from_utf8_lossy(name).into_owned();
                if !symbol.is_undefined(endian) {
                    self.napi_given.insert(name);
                } else if symbol.st_bind() != object::elf::STB_WEAK {
                    self.napi_used.insert(name);
                }
            } else if let Some(version) = name.strip_prefix(b"node_register_module_v") {
                self.node_modules = std::str::from_utf8(version).ok().and_then(|text| text.parse().ok());
            }
        }
        // An addon gives the function by which Node.js asks it for its version; what it gives is not for others.
        self.napi_given.retain(|name| !name.starts_with("napi_register_module_v"));
        self.napi_given.retain(|name| !name.starts_with("node_api_module_get_api_version_v"));
        Ok(())
    }
}
