//! The library of the build: from a source to an image at a destination.

#![forbid(unsafe_code)]

pub mod app_file;
pub mod assemble;
pub mod build;
pub mod catalog;
pub mod catalog_text;
pub mod changes;
pub mod checkout;
pub mod cli;
pub mod command_line;
pub mod commands;
pub mod context;
pub mod deliver;
pub mod detect;
pub mod failure;
pub mod git;
pub mod image_config;
pub mod inputs;
pub mod layer_progress;
pub mod load;
pub mod metadata;
pub mod native;
pub mod network;
pub mod origin;
pub mod output;
pub mod package_json;
pub mod plan;
pub mod planning;
pub mod platform;
pub mod prepare;
pub mod registry;
pub mod remote_catalog;
pub mod report;
pub mod rootfs;
pub mod runtime;
pub mod runtime_choice;
pub mod scope;
pub mod scratch;
pub mod serve;
pub mod settings;
pub mod source;
pub mod steps;
pub mod store;
pub mod tool_env;
pub mod toolbox;
