//! The client's side of the data plane: it accepts connections, reads one head after the other and hands
//! each call to the pipeline. What a call is answered with is the business of the stages.

pub(crate) mod front;
pub(crate) mod socket;
