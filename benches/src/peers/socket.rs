//! What the original's client does at each event: a blocking send of a 144-byte message on a Unix stream socket, to a server
//! that reads as it comes.

use super::rounds::Plan;
use super::words;
use crate::machine::pin;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of the original's message; all but some 40 of them are zero.
const MESSAGE: usize = 144;

/// ns of each send.
#[derive(Debug, Default)]
pub struct Sends {
    /// One after the other.
    pub saturated: Vec<f64>,
    /// One every 20 microseconds: the server sleeps between.
    pub paced: Vec<f64>,
}

/// Sends events to a reader on the other processor.
///
/// # Errors
/// The system's answer.
pub fn measure(plan: Plan) -> std::io::Result<Sends> {
    let (mut client, mut server) = UnixStream::pair()?;
    // As the original's client asks for it.
    nix::sys::socket::setsockopt(&client, nix::sys::socket::sockopt::SndBuf, &(1 << 20))?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(plan.there);
            let mut buffer = [0; MESSAGE * 256];
            while server.read(&mut buffer).is_ok_and(|got| got > 0) {
                std::hint::black_box(&buffer);
            }
        });
        pin(plan.here);
        let mut sends = Sends::default();
        let mut send = |n: u64| {
            let mut message = [0; MESSAGE];
            message[..64].copy_from_slice(bytemuck::cast_slice(&words(n)));
            let begin = Instant::now();
            client.write_all(&message)?;
            std::io::Result::Ok(begin.elapsed().as_nanos() as f64)
        };
        for n in 0..plan.singles as u64 {
            sends.saturated.push(send(n)?);
        }
        for n in 0..plan.singles as u64 / 4 {
            let until = Instant::now() + Duration::from_micros(20);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            sends.paced.push(send(n)?);
        }
        drop(client);
        Ok(sends)
    })
}
