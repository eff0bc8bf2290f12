//! `coffer verify`.

mod agents;
mod request;

use coffer_engine::{VerifyRequest, run_verify};

pub(crate) use self::request::VerifyArguments;
use self::request::show;
use crate::documents::verify::VerifyDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;
use crate::stored_resources::verify_resources;

pub(crate) fn run(session: &Session, arguments: &VerifyArguments) -> Result<ExitStatus, CliError> {
    if session.agents.are_given() {
        return agents::run(session, arguments);
    }
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let resources = Session::resources(&arguments.memory)?;
    let request = VerifyRequest {
        filter: arguments.filter.filter(),
        read_data_percent: arguments.read_data,
        expect_head: arguments.expect_head,
    };
    let mut report = run_verify(&repository, &resources, &request)?;
    verify_resources(&repository, &request.filter, &arguments.plugins, &mut report)?;
    show(session, &VerifyDocument::new(report, session.duration_ms()))
}
