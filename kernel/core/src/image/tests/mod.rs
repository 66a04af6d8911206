//! Images survive a round trip and nothing else: cuts, flips and unsound manifests are refused.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::Digest;

use super::*;
use crate::limits;

mod program;

const WEB_MODULE: &[u8] = b"\0asm\x01\0\0\0 web";
const STORE_MODULE: &[u8] = b"\0asm\x01\0\0\0 store";

fn port(name: &str, attach: Attachment, addresses: Vec<AddressSpec>) -> PortSpec {
    PortSpec {
        name: name.to_string(),
        attach,
        mac: None,
        addresses,
        gateways: vec![],
        dns: vec![],
    }
}

fn fixed(address: [u8; 4], prefix_length: u8) -> AddressSpec {
    AddressSpec::Static {
        address: IpAddr::V4(Ipv4Addr::from(address)),
        prefix_length,
    }
}

fn instance(name: &str, module: &[u8], ports: Vec<PortSpec>) -> InstanceSpec {
    InstanceSpec {
        arguments: vec!["--verbose".to_string()],
        restart: RestartPolicy::OnFailure,
        limits: InstanceLimits {
            memory_bytes: 16 * 1024 * 1024,
            table_elements: 1000,
            stack_bytes: 65_536,
            call_depth: 500,
            cpu_shares: 100,
            sockets: 64,
            log_bytes: 4096,
            ..InstanceLimits::default()
        },
        ports,
        config: vec![("greeting".to_string(), "hello".to_string())],
        ..InstanceSpec::new(name, blob_hash(module), name)
    }
}

fn demo() -> Manifest {
    let lan = Attachment::Switch("lan".to_string());
    let backend = Attachment::Link("backend".to_string());
    Manifest {
        name: "demo".to_string(),
        switches: vec![SwitchSpec {
            name: "lan".to_string(),
            uplink: Some("nic0".to_string()),
            mtu_bytes: None,
        }],
        links: vec![LinkSpec {
            name: "backend".to_string(),
            mtu_bytes: Some(9000),
        }],
        instances: vec![
            instance(
                "web",
                WEB_MODULE,
                vec![
                    port("eth0", lan, vec![AddressSpec::Dhcp]),
                    port("eth1", backend.clone(), vec![fixed([10, 1, 0, 1], 24)]),
                ],
            ),
            instance(
                "store",
                STORE_MODULE,
                vec![port("eth0", backend, vec![fixed([10, 1, 0, 2], 24)])],
            ),
        ],
        forwards: vec![ForwardSpec {
            protocol: ForwardProtocol::Tcp,
            host_port: 8080,
            instance: "web".to_string(),
            instance_port: 80,
        }],
        node: Some(NodeSpec {
            addresses: vec![fixed([10, 0, 2, 3], 24)],
            gateways: vec![[10, 0, 2, 2].into()],
            peers: vec![([10, 0, 2, 4], 7600).into()],
            ..NodeSpec::new("lan")
        }),
    }
}

fn demo_image() -> Vec<u8> {
    encode(&demo(), &[WEB_MODULE, STORE_MODULE]).unwrap()
}

/// Applies `change` to the sound manifest and returns what `validate` says.
fn refusal(change: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = demo();
    change(&mut manifest);
    manifest.validate().unwrap_err().to_string()
}

#[test]
fn an_image_survives_the_round_trip() {
    let bytes = demo_image();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(*image.manifest(), demo());
    assert_eq!(image.blob(&blob_hash(WEB_MODULE)), Ok(WEB_MODULE));
    assert_eq!(image.blob(&blob_hash(STORE_MODULE)), Ok(STORE_MODULE));
    assert_eq!(image.blobs().count(), 2);
    let unknown = blob_hash(b"other");
    assert_eq!(image.blob(&unknown), Err(ImageError::UnknownBlob(unknown)));
}

#[test]
fn equal_modules_are_stored_once() {
    let bytes = encode(&demo(), &[WEB_MODULE, STORE_MODULE, WEB_MODULE]).unwrap();
    assert_eq!(bytes, demo_image());
}

#[test]
fn a_cut_at_every_byte_is_refused() {
    let bytes = demo_image();
    for length in 0..bytes.len() {
        let error = Image::parse(&bytes[..length]).unwrap_err();
        assert!(
            matches!(
                error,
                ImageError::TooShort { .. } | ImageError::WrongLength { .. }
            ),
            "cut to {length} bytes: {error}"
        );
    }
}

#[test]
fn a_padded_image_is_refused() {
    let mut bytes = demo_image();
    bytes.push(0);
    assert!(matches!(
        Image::parse(&bytes),
        Err(ImageError::WrongLength { .. })
    ));
}

#[test]
fn a_flip_of_every_bit_is_noticed() {
    let sound = demo_image();
    let files = sound.len() - WEB_MODULE.len() - STORE_MODULE.len();
    for index in 0..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[index / 8] ^= 1 << (index % 8);
        let Ok(image) = Image::parse(&bytes) else {
            continue;
        };
        assert!(
            index / 8 >= files,
            "bit {index} of the index went unnoticed"
        );
        let hashes = [blob_hash(WEB_MODULE), blob_hash(STORE_MODULE)];
        let corrupt = hashes
            .iter()
            .filter(|hash| image.blob(hash) == Err(ImageError::CorruptBlob(**hash)))
            .count();
        assert_eq!(
            corrupt, 1,
            "bit {index}: one module is corrupt and the other is not"
        );
    }
}

#[test]
fn figures_are_bounded_before_they_are_used() {
    let mut bytes = demo_image();
    bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = Image::parse(&bytes).unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::TooLarge {
                part: ImagePart::Blobs,
                ..
            }
        ),
        "{error}"
    );
    let mut bytes = demo_image();
    bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = Image::parse(&bytes).unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::TooLarge {
                part: ImagePart::Manifest,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_image_without_a_named_module_is_refused() {
    let error = encode(&demo(), &[WEB_MODULE]).unwrap_err();
    assert_eq!(
        error,
        ImageError::MissingBlob {
            instance: "store".to_string(),
            item: BlobUse::Module("store".to_string())
        }
    );
}

#[test]
fn an_unsound_manifest_in_a_sound_file_is_refused() {
    let mut manifest = demo();
    manifest.instances.truncate(1);
    let error = encode(&manifest, &[WEB_MODULE]).unwrap_err();
    assert_eq!(
        error,
        ImageError::Manifest(ManifestError::DanglingLink {
            link: "backend".to_string(),
            ends: 1
        })
    );
}

/// The format's constants and the shape of the manifest; a change here wants a new format version.
#[test]
fn the_format_has_not_changed_by_accident() {
    assert_eq!(
        (&MAGIC, FORMAT_VERSION, HEADER_BYTES),
        (b"SOSIMG\r\n", 3, 64)
    );
    let digest: [u8; 32] = sha2::Sha256::digest(program::image()).into();
    assert_eq!(
        BlobHash(digest).to_string(),
        "77a7868701281d3e1f9083e0a140a61373a60e28fe945a00531cefc6e42add80"
    );
}

#[test]
fn unsound_names_are_refused() {
    for name in [
        "",
        "Web",
        "-web",
        "web-",
        "we b",
        "wéb",
        &"w".repeat(limits::NAME_BYTES + 1),
    ] {
        let error = refusal(|manifest| manifest.instances[1].name = name.to_string());
        assert!(error.contains("unusable name"), "{name}: {error}");
    }
    assert!(refusal(|manifest| manifest.instances[1].name = "web".to_string()).contains("taken"));
    assert!(refusal(|manifest| manifest.links[0].name = "lan".to_string()).contains("taken"));
    assert!(
        refusal(|manifest| manifest.instances[0].ports[1].name = "eth0".to_string())
            .contains("taken")
    );
}

#[test]
fn unsound_wiring_is_refused() {
    let lan = || Attachment::Switch("lan".to_string());
    let backend = || Attachment::Link("backend".to_string());
    type Change<'a> = &'a dyn Fn(&mut Manifest);
    let cases: [(&str, Change<'_>); 6] = [
        ("does not exist", &|manifest| {
            manifest.instances[0].ports[0].attach = Attachment::Switch("wan".to_string());
        }),
        ("does not exist", &|manifest| {
            manifest.instances[0].ports[0].attach = Attachment::Link("lan".to_string());
        }),
        ("1 of 2 ends", &|manifest| {
            manifest.instances[1].ports[0].attach = lan()
        }),
        ("3 of 2 ends", &|manifest| {
            manifest.instances[0].ports[0].attach = backend()
        }),
        ("to itself", &|manifest| {
            manifest.instances[0].ports[0].attach = backend();
            manifest.instances[1].ports.clear();
        }),
        ("name a NIC", &|manifest| {
            manifest.switches[0].uplink = Some("eth0".to_string())
        }),
    ];
    for (expected, change) in cases {
        let error = refusal(|manifest| change(manifest));
        assert!(error.contains(expected), "{error}");
    }
    let error = refusal(|manifest| {
        let mut second = manifest.switches[0].clone();
        second.name = "lan2".to_string();
        manifest.switches.push(second);
    });
    assert!(error.contains("claims `nic0`"), "{error}");
}

#[test]
fn unsound_addresses_are_refused() {
    let with = |addresses: Vec<AddressSpec>| {
        refusal(|manifest| manifest.instances[1].ports[0].addresses = addresses)
    };
    assert!(with(vec![fixed([10, 0, 0, 1], 33)]).contains("at most 32"));
    assert!(with(vec![fixed([224, 0, 0, 1], 24)]).contains("single host"));
    assert!(with(vec![fixed([10, 1, 0, 1], 24)]).contains("another port there"));
    assert!(with(vec![AddressSpec::Dhcp, AddressSpec::Dhcp]).contains("twice"));
    let gateway = |gateways: Vec<IpAddr>| {
        refusal(|manifest| manifest.instances[1].ports[0].gateways = gateways)
    };
    let outside = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1));
    let inside = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 254));
    assert!(gateway(vec![outside]).contains("none of its networks"));
    assert!(gateway(vec![inside, inside]).contains("two gateways"));
    assert!(gateway(vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)]).contains("single host"));

    let mut manifest = demo();
    let link_local = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    manifest.instances[1].ports[0].gateways = vec![inside, link_local];
    manifest.validate().unwrap();
}

#[test]
fn unsound_macs_are_refused() {
    let error = refusal(|manifest| manifest.instances[0].ports[0].mac = Some([1, 0, 0, 0, 0, 0]));
    assert!(error.contains("group"), "{error}");
    let error = refusal(|manifest| {
        for port in &mut manifest.instances[0].ports {
            port.mac = Some([2, 0, 0, 0, 0, 1]);
        }
    });
    assert!(error.contains("another port"), "{error}");
}

#[test]
fn figures_out_of_range_are_refused() {
    let error = refusal(|manifest| manifest.instances[0].limits.cpu_shares = 0);
    assert!(
        error.contains("`cpu_shares` out of range: choose from 1"),
        "{error}"
    );
    let error = refusal(|manifest| manifest.instances[0].limits.memory_bytes = u64::MAX);
    assert!(error.contains("`memory` out of range"), "{error}");
    let error = refusal(|manifest| manifest.links[0].mtu_bytes = Some(576));
    assert!(error.contains("`mtu` out of range"), "{error}");
}

#[test]
fn unsound_forwards_are_refused() {
    let forward =
        |change: &dyn Fn(&mut ForwardSpec)| refusal(|manifest| change(&mut manifest.forwards[0]));
    assert!(forward(&|forward| forward.host_port = 0).contains("port 0"));
    assert!(forward(&|forward| forward.instance = "shop".to_string()).contains("does not exist"));
    assert!(forward(&|forward| forward.instance = "store".to_string()).contains("uplink"));
    let error = refusal(|manifest| manifest.forwards.push(manifest.forwards[0].clone()));
    assert!(error.contains("8080/tcp"), "{error}");
}

#[test]
fn too_much_of_anything_is_refused() {
    let error = refusal(|manifest| {
        manifest.instances[0].arguments = vec![String::new(); limits::ARGUMENTS + 1];
    });
    assert!(error.contains("too many arguments"), "{error}");
    let error = refusal(|manifest| {
        manifest.instances[0].config[0].1 = "x".repeat(limits::TEXT_BYTES + 1);
    });
    assert!(error.contains("too long"), "{error}");
    let error = refusal(|manifest| {
        let config = manifest.instances[0].config[0].clone();
        manifest.instances[0].config.push(config);
    });
    assert!(error.contains("taken"), "{error}");
}

#[test]
fn an_error_leads_to_its_place_in_the_file() {
    let mut manifest = demo();
    manifest.instances[0].limits.sockets = u32::MAX;
    let error = manifest.validate().unwrap_err();
    assert_eq!(
        error.path(),
        (vec!["instance", "web", "limits", "sockets"], None)
    );
    let mut manifest = demo();
    manifest.forwards[0].instance_port = 0;
    assert_eq!(
        manifest.validate().unwrap_err().path(),
        (vec!["forward"], Some(0))
    );
}

#[test]
fn a_node_without_a_place_of_its_own_is_refused() {
    fn node(manifest: &mut Manifest) -> &mut NodeSpec {
        manifest.node.as_mut().unwrap()
    }
    let unknown = refusal(|manifest| node(manifest).switch = "backend".to_string());
    assert!(
        unknown.contains("`node`") && unknown.contains("backend"),
        "{unknown}"
    );
    let port = refusal(|manifest| node(manifest).port = 0);
    assert!(port.contains("port"), "{port}");
    let far = refusal(|manifest| node(manifest).gateways = vec![[10, 9, 9, 9].into()]);
    assert!(far.contains("10.9.9.9"), "{far}");
    let taken = refusal(|manifest| {
        manifest.instances[0].ports[0].addresses = vec![fixed([10, 0, 2, 3], 24)];
    });
    assert!(taken.contains("10.0.2.3"), "{taken}");
}
