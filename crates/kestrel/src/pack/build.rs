//! `kestrel pack build`

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use engine::eval::Compiled;
use packs::{Code, MANIFEST, Made, Refusal};

use super::{complain, engine};
use crate::output::{self, Status, style};
use crate::{scripts, test};

/// Writes the manifest, and the pack as one file if that is wanted and its signatures are of this
/// manifest.
pub(super) fn run(directory: &Path, file: Option<&Path>) -> io::Result<Status> {
    let made =
        match engine().and_then(|engine| packs::make(directory, &engine, jiff::Timestamp::now())) {
            Ok(made) => made,
            Err(refused) => return Ok(complain(&refused)),
        };
    for found in &made.warnings {
        let (code, rule) = (found.code.as_str(), found.rule.as_deref().unwrap_or_default());
        writeln!(anstream::stderr(), "warning[{code}]: {}: {rule}: {}", found.file, found.message)?;
    }
    let failed = failed_tests(&made, directory);
    if !failed.is_empty() {
        return Ok(complain(&failed));
    }
    let path = directory.join(MANIFEST);
    if !made.unchanged {
        replace(&path, &made.manifest)?;
    }
    let name = style::NAME;
    let state = if made.unchanged { "as it was" } else { "written" };
    let (tests, policies) = (made.tests.len(), made.policies.policies.len());
    let what = match policies {
        0 => format!("{tests} tests pass"),
        1 => "1 policy".to_owned(),
        many => format!("{many} policies"),
    };
    writeln!(anstream::stdout(), "{name}{}{name:#}: {state}; {what}", path.display())?;
    if !made.unchanged && !made.signatures.is_empty() {
        let old = made.signatures.join(", ");
        output::complain(&format!("the manifest is another one: remove {old}, and sign it again"));
        return Ok(Status::Findings);
    }
    let own = match super::sign::own(directory) {
        Ok(own) => own,
        Err(refused) => return Ok(complain(&refused)),
    };
    let Some(file) = file else { return Ok(Status::Fine) };
    let bytes = match own.to_file() {
        Ok(bytes) => bytes,
        Err(refused) => return Ok(complain(&[refused])),
    };
    replace(file, &bytes)?;
    let (shown, size, count) = (file.display(), bytes.len(), made.signatures.len());
    writeln!(anstream::stdout(), "{name}{shown}{name:#}: {size} bytes, {count} signatures")?;
    Ok(Status::Fine)
}

/// Tests of rules that do not go as they say: nobody signs rules that fail their own tests.
fn failed_tests(made: &Made, directory: &Path) -> Vec<Refusal> {
    let place = directory.display().to_string();
    let refuse = |what: String| Refusal::new(Code::Rule, &place, what);
    let refused = scripts::refusals(&made.program);
    if !refused.is_empty() {
        return refused.into_iter().map(|one| super::unsound(one, &place)).collect();
    }
    match Compiled::new(Arc::new(made.program.clone())) {
        Err(error) => vec![refuse(error.to_string())],
        Ok(compiled) => {
            let failures = test::failures(&Arc::new(compiled), &made.tests);
            failures.into_iter().map(refuse).collect()
        }
    }
}

/// Puts a file in the place of another in one step.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|error| {
        io::Error::new(error.error.kind(), format!("{}: {}", path.display(), error.error))
    })
}
