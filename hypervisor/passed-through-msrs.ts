import type { CpuProfile } from '../cpu/interfaces';
import { msrsOf } from '../cpu/system/msr';

/** STAR to FMASK, FS_BASE to TSC_AUX, SYSENTER_CS to SYSENTER_EIP, PAT. */
const INDEXES = [0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0100, 0xc000_0101, 0xc000_0102, 0xc000_0103, 0x174, 0x175, 0x176, 0x277];

/**
 * MSRs that the guest may use directly, because the hypervisor itself does not, or because entries and exits switch them: those that its
 * processor has. Not EFER: a VM may have fewer features than the processor, and then fewer bits there.
 */
export const passedThroughMsrs = (guest: CpuProfile): readonly number[] => INDEXES.filter((index) => msrsOf(guest).has(index));
