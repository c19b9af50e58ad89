/**
 * KVM's paravirtual interface as an option: the CPUID leaves that Linux looks for, and the paravirtual clock (MSRs 4B564D00h, 4B564D01h).
 * Layouts: Linux Documentation/virt/kvm/x86/cpuid.rst and msr.rst. It wraps another policy and answers what is KVM's.
 */
import type { Stateful } from '../memory/stateful';
import type { ProcessorPolicy } from './vcpu';
import type { GuestMemory } from './guest-memory';
import { MOVES_TSC } from './processor-policy';

const SIGNATURE_LEAF = 0x4000_0000;
const FEATURES_LEAF = 0x4000_0001;
const FREQUENCY_LEAF = 0x4000_0010;
/** "KVMKVMKVM\0\0\0" in EBX, ECX, EDX. */
const SIGNATURE = [0x4b4d_564b, 0x564b_4d56, 0x0000_004d] as const;
/** KVM_FEATURE_CLOCKSOURCE2 (3), KVM_FEATURE_CLOCKSOURCE_STABLE_BIT (24). */
const FEATURES = (1 << 3) | (1 << 24);
const HYPERVISOR_BIT = 0x8000_0000;
const MSR_WALL_CLOCK = 0x4b56_4d00;
const MSR_SYSTEM_TIME = 0x4b56_4d01;
const ENABLE = 1n;
const TSC_KHZ = 1_000_000;
const CLOCK_STABLE = 1;
/** pvclock_vcpu_time_info: a TSC of 1 GHz counts nanoseconds: (tsc << 1) * 2^31 >> 32. */
const TSC_SHIFT = 1;
const TSC_MULTIPLIER = 0x8000_0000;
const TIME_INFO_BYTES = 32;
const WALL_CLOCK_BYTES = 12;

type Registers = readonly [number, number, number, number];

/** The MSRs as they were last written. */
export interface KvmParavirtState {
  readonly systemTime: bigint;
  readonly wallClock: bigint;
}

export class KvmParavirt implements ProcessorPolicy, Stateful<KvmParavirtState> {
  private systemTime = 0n;
  private wallClock = 0n;

  /**
   * @param time virtual time in ticks (nanoseconds since the guest started).
   * @param guestTsc the TSC that the guest reads now.
   * @param startEpochSeconds seconds since 1970 at tick 0.
   */
  constructor(
    private readonly inner: ProcessorPolicy,
    private readonly memory: GuestMemory,
    private readonly time: () => number,
    private readonly guestTsc: () => bigint,
    private readonly startEpochSeconds: number,
  ) {}

  cpuid(leaf: number, subleaf: number): Registers {
    if (leaf === SIGNATURE_LEAF) return [FREQUENCY_LEAF, ...SIGNATURE];
    if (leaf === FEATURES_LEAF) return [FEATURES, 0, 0, 0];
    if (leaf === FREQUENCY_LEAF) return [TSC_KHZ, TSC_KHZ, 0, 0];
    const [eax, ebx, ecx, edx] = this.inner.cpuid(leaf, subleaf);
    return leaf === 1 ? [eax, ebx, (ecx | HYPERVISOR_BIT) >>> 0, edx] : [eax, ebx, ecx, edx];
  }

  readMsr(index: number): bigint | undefined {
    if (index === MSR_SYSTEM_TIME) return this.systemTime;
    if (index === MSR_WALL_CLOCK) return this.wallClock;
    return this.inner.readMsr(index);
  }

  writeMsr(index: number, value: bigint): boolean {
    if (index === MSR_WALL_CLOCK) {
      const stored = this.store(value, WALL_CLOCK_BYTES, (view) => view.setUint32(4, this.startEpochSeconds, true));
      if (stored) this.wallClock = value;
      return stored;
    }
    if (index === MSR_SYSTEM_TIME) {
      const stored = (value & ENABLE) === 0n || this.storeTime(value);
      if (stored) this.systemTime = value;
      return stored;
    }
    const done = this.inner.writeMsr(index, value);
    // The page says what time it is at which TSC.
    if (done && MOVES_TSC.has(index) && (this.systemTime & ENABLE) !== 0n) this.storeTime(this.systemTime);
    return done;
  }

  private storeTime(msr: bigint): boolean {
    return this.store(msr & ~ENABLE, TIME_INFO_BYTES, (view) => {
      view.setBigUint64(8, this.guestTsc(), true);
      view.setBigUint64(16, BigInt(this.time()), true);
      view.setUint32(24, TSC_MULTIPLIER, true);
      view.setInt8(28, TSC_SHIFT);
      view.setUint8(29, CLOCK_STABLE);
    });
  }

  saveState(): KvmParavirtState {
    const { systemTime, wallClock } = this;
    return { systemTime, wallClock };
  }

  restoreState({ systemTime, wallClock }: KvmParavirtState): void {
    this.systemTime = systemTime;
    this.wallClock = wallClock;
  }

  /** Writes a structure whose first word is a version: even when it is consistent, and another one with every update. False (#GP) where there is no RAM. */
  private store(address: bigint, bytes: number, fill: (view: DataView) => void): boolean {
    const gpa = Number(address);
    if (!this.memory.isRam(gpa) || !this.memory.isRam(gpa + bytes - 1)) return false;
    const structure = new Uint8Array(bytes);
    const view = new DataView(structure.buffer);
    const version = new DataView(this.memory.readBytes(gpa, 4).buffer).getUint32(0, true);
    view.setUint32(0, (version & ~1) + 2, true);
    fill(view);
    this.memory.writeBytes(gpa, structure);
    return true;
  }
}
