/** The public library: build a guest (bare or in a VM), run it, look at its exits. */
export { Guest, seededEntropy, type GuestConfig, type GuestStop } from './hypervisor/guest';
export type { Exit, ExitKind, ExitOf, Outcome, RawExit, StopReason } from './hypervisor/exit';
export { ROUTES, withRoutes, type ExitHandler, type Routes } from './hypervisor/routes';
export type { ExitRecord, Vcpu, VcpuObserver } from './hypervisor/vcpu';
export type { ExitRow } from './hypervisor/statistics';
export type { GuestState, GuestSurroundings } from './hypervisor/guest-state';
export { readSnapshot, writeSnapshot, SnapshotFileError } from './debugger/snapshot/file';
export { Machine, type MachineOptions } from './machine/machine';
export { BootError } from './guests/boot/boot-error';
export { planBoot } from './guests/boot/plan';
export { parseProfile, createProfile } from './cpu/profiles/profile';
export { Vmx } from './vmx/vmx';
export { explain, violations } from './vmx/entry/explain';
