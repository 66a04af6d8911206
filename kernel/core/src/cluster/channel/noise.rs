//! The Noise protocol framework (revision 34), by `snow`: which handshakes there are, and with whose
//! randomness.

use super::ChannelError;
use crate::cluster::{NodeKey, PublicKey};
use crate::keys::KEY_BYTES;
use alloc::boxed::Box;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

/// Bytes that a message grows by when it is sealed (ChaCha20-Poly1305, RFC 8439).
pub(super) const TAG_BYTES: usize = 16;

/// The handshakes that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Whoever has the cluster key: the first message proves it, so that nobody else is answered.
    Cluster,
    /// Listed keys: the one who begins knows the other's, and proves its own in the first message.
    Listed,
}

impl Pattern {
    /// The byte that says so.
    pub fn number(self) -> u8 {
        match self {
            Pattern::Cluster => 1,
            Pattern::Listed => 2,
        }
    }

    pub fn from_number(number: u8) -> Option<Pattern> {
        match number {
            1 => Some(Pattern::Cluster),
            2 => Some(Pattern::Listed),
            _ => None,
        }
    }

    /// How it is called (Noise, section 8).
    fn name(self) -> &'static str {
        match self {
            Pattern::Cluster => "Noise_XXpsk0_25519_ChaChaPoly_SHA256",
            Pattern::Listed => "Noise_IK_25519_ChaChaPoly_SHA256",
        }
    }

    /// Bytes of its messages, which carry nothing besides (Noise, sections 7.5 and 9): keys of 32 bytes, a
    /// tag behind each that is secret and at the end.
    pub fn message_bytes(self) -> &'static [usize] {
        match self {
            Pattern::Cluster => &[32 + 16, 32 + 48 + 16, 48 + 16],
            Pattern::Listed => &[32 + 48 + 16, 32 + 16],
        }
    }
}

/// What a handshake is begun with.
pub(super) struct Start<'a> {
    pub pattern: Pattern,
    pub own: &'a NodeKey,
    pub cluster_key: Option<&'a [u8; KEY_BYTES]>,
    /// The other's key, where the pattern wants it.
    pub remote: Option<&'a PublicKey>,
    /// What both ends must have said before.
    pub prologue: &'a [u8],
    pub entropy: [u8; 32],
}

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Initiator,
    Responder,
}

pub(super) fn begin(start: &Start<'_>, side: Side) -> Result<HandshakeState, ChannelError> {
    build(start, side).map_err(|_| ChannelError::NoTrust)
}

fn build(start: &Start<'_>, side: Side) -> Result<HandshakeState, snow::Error> {
    let params: NoiseParams = start.pattern.name().parse()?;
    let resolver = Box::new(Resolver(start.entropy));
    let mut builder = Builder::with_resolver(params, resolver)
        .prologue(start.prologue)?
        .local_private_key(start.own.secret())?;
    if let Some(remote) = start.remote {
        builder = builder.remote_public_key(&remote.0)?;
    }
    if let Some(key) = start.cluster_key {
        builder = builder.psk(0, key)?;
    }
    match side {
        Side::Initiator => builder.build_initiator(),
        Side::Responder => builder.build_responder(),
    }
}

/// The public half of an X25519 secret.
pub fn public_half(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    let mut public = [0; KEY_BYTES];
    // The resolver was built with this curve.
    if let Some(mut curve) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) {
        curve.set(secret);
        public.copy_from_slice(curve.pubkey());
    }
    public
}

/// Snow's own primitives, and random numbers of a seed that the machine drew.
struct Resolver([u8; 32]);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded(ChaCha12Rng::from_seed(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct Seeded(ChaCha12Rng);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(out);
        Ok(())
    }
}
