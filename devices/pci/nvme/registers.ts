/** Controller registers: NVM Express Base Specification 1.4, "Controller Registers". */

export const Register = {
  CAP: 0x00, CAP_HIGH: 0x04, VS: 0x08, INTMS: 0x0c, INTMC: 0x10, CC: 0x14, CSTS: 0x1c, AQA: 0x24, ASQ: 0x28, ASQ_HIGH: 0x2c, ACQ: 0x30, ACQ_HIGH: 0x34,
} as const; // prettier-ignore

/** 1.4.0. */
export const VERSION = 0x0001_0400;
/** Entries of an I/O queue, at most. */
export const MAX_QUEUE_ENTRIES = 1024;
/** I/O submission queues, and I/O completion queues. */
export const MAX_IO_QUEUES = 16;
/** Memory pages of 4 KiB to 64 KiB: CAP.MPSMIN and CAP.MPSMAX are 2^(12 + n). */
const MPSMAX = 4;

/** Contiguous queues required, 10 s for ready to change, doorbells 4 bytes apart, no subsystem reset, NVM command set. */
export const CAP_LOW = ((20 << 24) | (1 << 16) | (MAX_QUEUE_ENTRIES - 1)) >>> 0;
export const CAP_HIGH = (MPSMAX << 20) | (1 << 5);

export const Cc = { EN: 0x1, CSS: 0x70, MPS_SHIFT: 7, AMS: 0x3800, SHN: 0xc000, IOSQES_SHIFT: 16, IOCQES_SHIFT: 20, WRITABLE: 0x00ff_fff1 } as const;
export const Csts = { RDY: 0x1, CFS: 0x2, SHST: 0xc, SHST_COMPLETE: 0x8 } as const;
export const SHN_SHIFT = 14;
/** Log2 of the only entry sizes: 64 and 16 bytes. */
export const IOSQES = 6;
export const IOCQES = 4;

export const MPS_LIMIT = MPSMAX;
export const pageSizeOf = (cc: number): number => 4096 << ((cc >>> Cc.MPS_SHIFT) & 0xf);

/** What software and controller have put there. */
export interface Registers {
  interruptMask: number;
  cc: number;
  csts: number;
  aqa: number;
  asq: [low: number, high: number];
  acq: [low: number, high: number];
}

export const registersAfterReset = (): Registers => ({ interruptMask: 0, cc: 0, csts: 0, aqa: 0, asq: [0, 0], acq: [0, 0] });

/** The dword at `at`; what is not there reads 0. */
export function registerValue({ interruptMask, cc, csts, aqa, asq, acq }: Registers, at: number): number {
  switch (at) {
    case Register.CAP:
      return CAP_LOW;
    case Register.CAP_HIGH:
      return CAP_HIGH;
    case Register.VS:
      return VERSION;
    case Register.INTMS:
    case Register.INTMC:
      return interruptMask >>> 0;
    case Register.CC:
      return cc;
    case Register.CSTS:
      return csts;
    case Register.AQA:
      return aqa;
    case Register.ASQ:
      return asq[0];
    case Register.ASQ_HIGH:
      return asq[1];
    case Register.ACQ:
      return acq[0];
    case Register.ACQ_HIGH:
      return acq[1];
    default:
      return 0;
  }
}
