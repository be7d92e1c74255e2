//! The links, for people and for programs that draw.

use super::connection::typed;
use super::graph::Graph;
use super::{Asking, print};
use crate::control::protocol::Question;

/// How the topology is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(in crate::commands) enum Format {
    /// A table of links
    Text,
    /// One JSON document, as --json
    Json,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
    /// One line per port, as `show_topology -C` had it
    Csv,
}

/// Asks for ports and hosts and prints the graph.
pub(super) fn show(asking: &Asking, format: Format) -> anyhow::Result<()> {
    let mut connection = asking.connect()?;
    let ports = typed(connection.all(Question::Ports { switch: None })?.0)?;
    let hosts = typed(connection.all(Question::Hosts { switch: None, slice: None })?.0)?;
    let graph = Graph::new(ports, hosts);
    print(&match format {
        _ if asking.json => graph.json()?,
        Format::Json => graph.json()?,
        Format::Text => graph.text(),
        Format::Dot => graph.dot(),
        Format::Mermaid => graph.mermaid(),
        Format::Csv => graph.csv(),
    })
}
