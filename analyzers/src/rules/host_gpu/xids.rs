//! XIDs: the errors that NVIDIA's driver logs, as data.
//!
//! Fact: NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors), its resolution buckets; which of them speak of the
//! application and leave the GPU healthy: the list that the Kubernetes device plugin ignores (13, 31, 43, 45, 68, 109).

/// Where the fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The program that used the GPU, or nothing that needs attention: the GPU stays healthy.
    Application,
    /// Driver or firmware: the GPU works again after a reset.
    Driver,
    /// The card, its power, its slot, or its links.
    Hardware,
}

/// What an XID means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) code: u32,
    pub(super) fault: Fault,
    pub(super) means: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

const RESTART: &str = "Restart the application; if it comes back, look for the fault in its code or in the CUDA version that it was built for.";
const RESET: &str = "Drain the node and reset the GPU (`nvidia-smi --gpu-reset`, or reboot).";
const REPLACE: &str =
    "Drain the node, run NVIDIA's field diagnostics, and have the card replaced if it comes back.";
const UPDATE: &str =
    "Reset the GPU, and update driver and firmware: this is a known kind of driver fault.";
const LINK: &str =
    "Reset the GPU; if it comes back, have NVLink bridge, baseboard or NVSwitch checked.";

const fn row(code: u32, fault: Fault, means: &'static str, remedy: &'static str) -> Meaning {
    Meaning {
        code,
        fault,
        means,
        remedy,
    }
}

use Fault::{Application as A, Driver as D, Hardware as H};

/// By number.
pub(super) const XIDS: &[Meaning] = &[
    row(8, A, "a channel stopped being served", RESTART),
    row(11, A, "an invalid command stream", RESTART),
    row(
        13,
        A,
        "an exception in the compute engine, mostly an access out of bounds",
        RESTART,
    ),
    row(25, A, "an illegal command stream", RESTART),
    row(
        31,
        A,
        "a page fault: the application used an address that is not mapped",
        RESTART,
    ),
    row(32, A, "a corrupted command stream", RESTART),
    row(38, D, "an error of the driver's firmware", UPDATE),
    row(39, A, "an exception in a copy engine", RESTART),
    row(
        43,
        A,
        "a channel was stopped for an error of its application",
        RESTART,
    ),
    row(44, A, "a fault while contexts were switched", RESTART),
    row(
        45,
        A,
        "channels were removed for an error before, or because the application ended",
        RESTART,
    ),
    row(46, D, "the GPU stopped working on its commands", RESET),
    row(48, H, "an uncorrectable memory error", REPLACE),
    row(
        54,
        H,
        "auxiliary power is not connected to the card",
        "Connect the card's power cables.",
    ),
    row(
        61,
        H,
        "an internal micro-controller stopped (older drivers)",
        RESET,
    ),
    row(62, H, "an internal micro-controller halted", RESET),
    row(
        63,
        H,
        "a memory row or page is to be remapped at the next reset",
        RESET,
    ),
    row(64, H, "a memory row or page could not be remapped", REPLACE),
    row(66, D, "an illegal access by the driver", UPDATE),
    row(67, D, "an illegal access by the driver", UPDATE),
    row(68, A, "an exception in the video decoder", RESTART),
    row(
        69,
        A,
        "an error of a graphics class, by the application",
        RESTART,
    ),
    row(74, H, "an NVLink error", LINK),
    row(
        78,
        D,
        "a vGPU could not be started",
        "Bring host and guest driver to versions that go together.",
    ),
    row(
        79,
        H,
        "the GPU has fallen off the bus",
        "Power-cycle the machine; if it comes back, check power, cooling, risers and slot, and have the card replaced.",
    ),
    row(80, A, "corrupted data was sent to the GPU", RESTART),
    row(92, H, "many correctable memory errors", REPLACE),
    row(
        93,
        H,
        "the card's information ROM is written too often",
        REPLACE,
    ),
    row(
        94,
        H,
        "an uncorrectable memory error that only its application suffered from",
        RESET,
    ),
    row(
        95,
        H,
        "an uncorrectable memory error that every application on the GPU may have suffered from",
        RESET,
    ),
    row(109, A, "a context switch took too long", RESTART),
    row(110, D, "a security fault", RESET),
    row(
        119,
        D,
        "the GPU's system processor (GSP) did not answer the driver",
        UPDATE,
    ),
    row(120, D, "the GPU's system processor (GSP) failed", UPDATE),
    row(
        121,
        H,
        "an error on the link between CPU and GPU (C2C)",
        RESET,
    ),
    row(136, H, "an NVLink could not be trained", LINK),
    row(
        137,
        A,
        "an application used a peer's memory that is not mapped over NVLink",
        RESTART,
    ),
    row(140, H, "an uncorrectable memory error", REPLACE),
    row(143, H, "the GPU could not be initialised", RESET),
    row(144, H, "an NVLink error", LINK),
    row(145, H, "an NVLink error", LINK),
    row(146, H, "an NVLink error", LINK),
    row(147, H, "an NVLink error", LINK),
    row(148, H, "an NVLink error", LINK),
    row(149, H, "an NVLink error", LINK),
    row(150, H, "an NVLink error", LINK),
    row(
        154,
        D,
        "the driver wants the GPU reset or the machine rebooted",
        "Do what the message names; another XID before it says why.",
    ),
    row(155, H, "an NVLink error", LINK),
    row(
        156,
        H,
        "a faulty part of the GPU is to be taken out of use at the next reset",
        RESET,
    ),
    row(
        157,
        H,
        "a faulty part of the GPU could not be taken out of use",
        REPLACE,
    ),
    row(158, H, "the GPU stopped answering", RESET),
    row(167, H, "the GPU stopped answering on the PCI bus", RESET),
    row(171, H, "an uncorrectable memory error (DRAM)", REPLACE),
    row(172, H, "an uncorrectable memory error (SRAM)", REPLACE),
];

/// What a number means that is not in the table: taken for the driver's, since the table holds those of applications.
const OTHER: Meaning = row(
    0,
    D,
    "an error of the GPU or its driver",
    "Look the number up in NVIDIA's Xid catalogue, docs.nvidia.com/deploy/xid-errors.",
);

/// An error of a switch between cards that the driver calls fatal.
const FATAL_SWITCH: Meaning = row(0, H, "a fatal NVSwitch error", LINK);
const OTHER_SWITCH: Meaning = row(0, D, "an NVSwitch error that is not fatal", LINK);

/// What a logged error means.
pub(super) fn meaning(xid: &bundle::collected::gpu::Xid) -> &'static Meaning {
    if xid.switch {
        // `Fatal` and `Non-fatal` is how the driver writes them.
        return if xid.text.contains(" Fatal") {
            &FATAL_SWITCH
        } else {
            &OTHER_SWITCH
        };
    }
    XIDS.binary_search_by_key(&xid.code, |row| row.code)
        .map_or(&OTHER, |at| &XIDS[at])
}

#[cfg(test)]
mod tests {
    use bundle::collected::gpu::Xid;

    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(XIDS.is_sorted_by(|one, next| one.code < next.code));
    }

    #[test]
    fn what_the_device_plugin_ignores_is_the_applications() {
        for code in [13, 31, 43, 45, 68, 109] {
            let xid = Xid {
                code,
                ..Xid::default()
            };
            assert_eq!(meaning(&xid).fault, Fault::Application, "{code}");
        }
        for (code, fault) in [
            (79, Fault::Hardware),
            (48, Fault::Hardware),
            (999, Fault::Driver),
        ] {
            let xid = Xid {
                code,
                ..Xid::default()
            };
            assert_eq!(meaning(&xid).fault, fault, "{code}");
        }
    }

    #[test]
    fn switches_say_whether_it_is_fatal() {
        let switch = |text: &str| Xid {
            switch: true,
            code: 20034,
            text: text.to_owned(),
            ..Xid::default()
        };
        let fatal = switch("nvidia-nvswitch3: SXid (PCI:0000:c3:00.0): 20034, Fatal, Link 40");
        assert_eq!(meaning(&fatal).fault, Fault::Hardware);
        let other = switch("nvidia-nvswitch3: SXid (PCI:0000:c3:00.0): 12028, Non-fatal, Link 32");
        assert_eq!(meaning(&other).fault, Fault::Driver);
    }
}
