//! The verbs that make files: `build`, `lint`, `image`, `new`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::default_manifest;
use crate::build::{self, Workspace};
use crate::image::{self, BootImage};
use crate::process::say;
use crate::project;

/// What `sos build` builds.
#[derive(Debug, Args)]
pub struct BuildArguments {
    /// Manifest whose guests are built; without it ./sos.toml, or else every guest of SOS
    manifest: Option<PathBuf>,
}

/// What `sos image` packs or reads.
#[derive(Debug, Args)]
pub struct ImageArguments {
    /// Manifest to pack; without it ./sos.toml, or else the demo
    manifest: Option<PathBuf>,
    /// Image file to write; without it the manifest's name with the ending .sosimg
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Check this image file and say what is in it
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["manifest", "output"])]
    inspect: Option<PathBuf>,
}

/// What `sos new` makes.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// Folder to make; its last part names the service
    name: PathBuf,
    /// What it begins as
    #[arg(short, long, value_enum, default_value_t)]
    template: project::Template,
}

/// Builds the kernel and guests, and prints where they are.
pub fn build(arguments: &BuildArguments) -> Result<()> {
    println!("{}", build::kernel()?.display());
    let own = PathBuf::from("sos.toml");
    let manifest = arguments
        .manifest
        .clone()
        .or_else(|| own.is_file().then_some(own));
    let files = match manifest {
        Some(manifest) => image::modules_of(&manifest)?,
        None => {
            let workspace = Workspace::of_sos()?;
            let names: Vec<&str> = workspace
                .guests()
                .map(|guest| guest.name.as_str())
                .collect();
            build::guest_in(&workspace, &names)?
        }
    };
    for file in files {
        println!("{}", file.display());
    }
    Ok(())
}

/// Lints what cargo alone would lint for the wrong target.
pub fn lint() -> Result<()> {
    build::lint_kernel()?;
    build::lint_guests()
}

/// Packs or inspects an image.
pub fn image(arguments: &ImageArguments) -> Result<()> {
    if let Some(path) = &arguments.inspect {
        let image = BootImage::read(path)?;
        print!("{}", image::describe(&image)?);
        image::check(&image)?;
        return Ok(());
    }
    let manifest = match &arguments.manifest {
        Some(manifest) => manifest.clone(),
        None => default_manifest()?,
    };
    let image = image::from_manifest(&manifest)?;
    image::check(&image)?;
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None => PathBuf::from(format!("{}.sosimg", image.manifest.name)),
    };
    if output == manifest {
        bail!(
            "{} is the manifest itself: choose another output",
            output.display()
        );
    }
    image.write(&output)?;
    say(format!(
        "wrote {} ({} bytes)",
        output.display(),
        image.bytes.len()
    ));
    Ok(())
}

/// Makes a project.
pub fn new(arguments: &NewArguments) -> Result<()> {
    let name = project::create(&arguments.name, arguments.template)?;
    let folder = arguments.name.display();
    say(format!(
        "made the service `{name}` in {folder}; next: cd {folder} && cargo sos run"
    ));
    Ok(())
}
