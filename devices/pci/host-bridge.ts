/** The memory controller hub of a Q35 board, 8086:29C0 at 00:00.0. */
import { PciDevice } from './pci-device';

const PCIEXBAR = 0x60;
/** Enabled, 256 buses (bits 2:1 = 0). */
const PCIEXBAR_ENABLE = 1;
const PAM0 = 0x90;
const PAM_BYTES = 7;
const SMRAM = 0x9d;
const SMRAM_RESET = 0x02;

/**
 * DEVIATION: PAM and SMRAM keep what firmware writes and do nothing: C_0000h-F_FFFFh is always writable RAM and there is no SMRAM.
 */
export class HostBridge extends PciDevice {
  /** @param multifunction other functions share its device number. */
  constructor(ecamBase: number, multifunction = false) {
    super({ vendor: 0x8086, device: 0x29c0, classCode: 0x06_0000, revision: 2, multifunction });
    this.set32(PCIEXBAR, ecamBase + PCIEXBAR_ENABLE);
    this.allow(PAM0, ...new Array<number>(PAM_BYTES).fill(0x33));
    this.config[SMRAM] = SMRAM_RESET;
    this.allow(SMRAM, 0x78);
  }
}
