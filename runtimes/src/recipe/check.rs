//! Whether what recipes refer to exists.

use std::collections::BTreeMap;

use lapstrake_catalog::ImageKind;

use super::{LayerRecipe, OsRecipe, RecipeError, RuntimeRecipe};
use crate::arch::Arch;

impl OsRecipe {
    pub(super) fn check(&self, file: &str) -> Result<(), RecipeError> {
        if !self.suites.iter().any(|suite| suite.name == self.suite) {
            return Err(meaning(file, &format!("suite `{}` is not among its suites", self.suite)));
        }
        check_layers(file, &self.layers, &self.layers)
    }
}

impl RuntimeRecipe {
    pub(super) fn check(&self, file: &str, oses: &BTreeMap<String, OsRecipe>) -> Result<(), RecipeError> {
        for line in &self.lines {
            let Some(os) = oses.get(&line.os) else {
                return Err(meaning(file, &format!("line {}: no recipe for `{}`", line.version, line.os)));
            };
            let all: Vec<LayerRecipe> = line.layers.iter().chain(&os.layers).cloned().collect();
            check_layers(file, &line.layers, &all)?;
            for (kind, roles) in &self.images {
                if kind.parse::<ImageKind>().is_err() {
                    return Err(meaning(file, &format!("there is no image kind `{kind}`")));
                }
                check_roles(file, kind, roles, &all)?;
            }
            for platform in &line.platforms {
                Arch::of_platform(platform).map_err(|cause| meaning(file, &cause.to_string()))?;
            }
        }
        Ok(())
    }
}

fn check_layers(file: &str, layers: &[LayerRecipe], all: &[LayerRecipe]) -> Result<(), RecipeError> {
    for layer in layers {
        if all.iter().filter(|other| other.role == layer.role).count() > 1 {
            return Err(meaning(file, &format!("two layers have the role `{}`", layer.role)));
        }
        check_roles(file, layer.name(), &layer.below, all)?;
        if layer.packages.is_empty() && layer.npm.is_empty() && layer.wheels.is_empty() {
            return Err(meaning(file, &format!("layer `{}` is made of nothing", layer.name())));
        }
    }
    Ok(())
}

fn check_roles(file: &str, of: &str, roles: &[String], all: &[LayerRecipe]) -> Result<(), RecipeError> {
    match roles.iter().find(|role| !all.iter().any(|layer| layer.role == **role)) {
        None => Ok(()),
        Some(role) => Err(meaning(file, &format!("`{of}` names the layer `{role}`, which does not exist"))),
    }
}

pub(super) fn meaning(file: &str, reason: &str) -> RecipeError {
    RecipeError::Meaning { file: file.to_owned(), reason: reason.to_owned() }
}
