/**
 * What cached translations depend on beside the tables: CR0.WP, CR4.SMEP and the like are folded into the entries of the TLB. A hypervisor
 * that changes them in the VMCB need not flush on hardware, which looks at them at each access; so the model drops the ASID's translations.
 */
import type { Cpu } from '../cpu/cpu';
import { Cr0, Cr4, Efer } from '../cpu/registers';

const ASIDS = 0x1_0000;

export class TranslationModes {
  /** By ASID, as its last #VMEXIT left them; 0: none yet. */
  private readonly modes = new Uint16Array(ASIDS);

  constructor(private readonly cpu: Cpu) {}

  noteExit(asid: number): void {
    this.modes[asid] = this.mode();
  }

  /** After VMRUN loaded the guest: true when the ASID's translations were made in another mode. */
  changed(asid: number): boolean {
    const before = this.modes[asid];
    return before !== 0 && before !== this.mode();
  }

  private mode(): number {
    const { cr0, cr4, efer } = this.cpu;
    const paging = ((cr0 & Cr0.PG) !== 0 ? 2 : 0) | ((cr0 & Cr0.WP) !== 0 ? 4 : 0) | ((cr0 & Cr0.PE) !== 0 ? 8 : 0);
    const tables = ((cr4 & Cr4.PSE) !== 0 ? 0x10 : 0) | ((cr4 & Cr4.PAE) !== 0 ? 0x20 : 0) | ((cr4 & Cr4.PCIDE) !== 0 ? 0x40 : 0);
    const protection = ((cr4 & Cr4.SMEP) !== 0 ? 0x80 : 0) | ((cr4 & Cr4.SMAP) !== 0 ? 0x100 : 0) | ((efer & Efer.NXE) !== 0 ? 0x200 : 0);
    return 1 | paging | tables | protection | ((efer & Efer.LMA) !== 0 ? 0x400 : 0);
  }

  saveState(): readonly (readonly [asid: number, mode: number])[] {
    return [...this.modes].flatMap((mode, asid) => (mode !== 0 ? [[asid, mode] as const] : []));
  }
  restoreState(saved: readonly (readonly [asid: number, mode: number])[]): void {
    this.modes.fill(0);
    for (const [asid, mode] of saved) this.modes[asid] = mode;
  }
}
