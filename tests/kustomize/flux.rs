//! What chartgate makes of Flux's own Kustomizations against what kustomize-controller would apply, by the libraries that the controller is made of.

mod artifact;
mod corpus;
mod generated;
mod instances;
mod oracle;
mod scalars;
mod walk;
mod yaml;
