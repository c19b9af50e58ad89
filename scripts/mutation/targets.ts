/** Which files are mutated, and which tests speak about them: cheap ones first, since the first that fails decides. */

export interface Target {
  readonly name: string;
  readonly files: readonly string[];
  readonly tests: readonly string[];
}

const tests = (folder: string, ...names: readonly string[]): string[] => names.map((name) => `tests/${folder}/${name}.test.ts`);

const SVM_BEHAVIOUR = ['intercepts', 'events', 'entry-exit', 'interrupts'];
const VMX_BEHAVIOUR = ['entry-exit', 'instructions', 'boundary', 'intercept-operands', 'intercepts'];

export const TARGETS: readonly Target[] = [
  {
    name: 'vmx/entry: controls and host',
    files: ['check', 'controls', 'host-state'].map((f) => `vmx/entry/${f}.ts`),
    tests: tests('vmx', 'entry-values-controls', 'entry-values-guest', 'entry-checks', 'entry-exit'),
  },
  {
    name: 'vmx/entry: guest',
    files: ['guest-registers', 'guest-segments', 'guest-state', 'groups'].map((f) => `vmx/entry/${f}.ts`),
    tests: tests('vmx', 'entry-values-guest', 'tables', 'entry-values-controls', 'entry-checks', 'entry-exit'),
  },
  { name: 'vmx/intercepts', files: ['vmx/intercepts.ts'], tests: tests('vmx', 'intercept-operands', 'intercepts', 'instructions') },
  {
    name: 'vmx/exit',
    files: ['reason', 'qualification', 'exception'].map((f) => `vmx/exit/${f}.ts`),
    tests: tests('vmx', 'tables', 'qualification', ...VMX_BEHAVIOUR),
  },
  { name: 'vmx/vmcs', files: ['fields', 'support'].map((f) => `vmx/vmcs/${f}.ts`), tests: tests('vmx', 'tables', 'capabilities', ...VMX_BEHAVIOUR) },
  { name: 'vmx/controls', files: ['vmx/controls.ts'], tests: tests('vmx', 'tables', 'capabilities', ...VMX_BEHAVIOUR) },
  { name: 'vmx/capabilities', files: ['vmx/capabilities.ts'], tests: tests('vmx', 'tables', 'capabilities', ...VMX_BEHAVIOUR) },
  { name: 'vmx/operation', files: ['vmx/operation.ts'], tests: tests('vmx', 'operation', 'instructions') },
  {
    name: 'vmx/instructions',
    files: ['result', 'execute'].map((f) => `vmx/instructions/${f}.ts`),
    tests: tests('vmx', 'tables', 'instructions', 'operation', 'entry-exit'),
  },
  { name: 'vmx/msr', files: ['vmx/msr-area.ts', 'vmx/vmcs/guest-registers.ts'], tests: tests('vmx', 'tables', ...VMX_BEHAVIOUR) },
  {
    name: 'hypervisor/routes',
    files: ['routes', 'handlers/control-register', 'handlers/cpuid', 'handlers/io', 'handlers/msr', 'handlers/nested-page-fault', 'handlers/xsetbv'].map(
      (f) => `hypervisor/${f}.ts`,
    ),
    tests: tests('hypervisor', 'routes'),
  },
  { name: 'hypervisor/vmx', files: ['hypervisor/vmx/exits.ts'], tests: tests('hypervisor', 'vmx/exits') },
  { name: 'hypervisor/svm', files: ['hypervisor/svm/exits.ts'], tests: tests('hypervisor', 'svm-exits') },
  {
    name: 'svm/entry',
    files: ['check', 'controls', 'guest-state', 'reserved', 'groups', 'first-broken'].map((f) => `svm/entry/${f}.ts`),
    tests: tests('svm', 'entry/consistency', 'entry/explain', 'entry/entry-state'),
  },
  {
    name: 'svm/vmcb',
    files: ['layout', 'fields', 'guest-registers'].map((f) => `svm/vmcb/${f}.ts`),
    tests: tests('svm', 'vmcb/layout', 'vmcb/controls', 'entry/consistency', 'entry-exit', 'vmload', 'clean-bits', 'registers', 'tlb'),
  },
  {
    name: 'svm/controls',
    files: ['svm/controls.ts', 'svm/features.ts', 'svm/capabilities.ts'],
    tests: tests('svm', 'vmcb/controls', 'capabilities', 'entry/consistency', 'tlb', 'vmload', ...SVM_BEHAVIOUR),
  },
  {
    name: 'svm/exit',
    files: ['code', 'exception', 'info'].map((f) => `svm/exit/${f}.ts`),
    tests: tests('svm', 'vmcb/exit-code', 'vmcb/controls', 'exit-info', 'exception-exits', ...SVM_BEHAVIOUR),
  },
  {
    name: 'svm/intercepts',
    files: ['svm/intercepts.ts', 'svm/permission-maps.ts'],
    tests: tests('svm', 'intercepts', 'intercept-information', 'exit-info', 'vmcb/controls'),
  },
  { name: 'svm/operation', files: ['svm/operation.ts'], tests: tests('svm', 'operation', 'instructions') },
  {
    name: 'svm/instructions',
    files: ['svm/instructions/execute.ts'],
    tests: tests('svm', 'instructions', 'operation', 'vmload', 'virtual-vmload', 'intercepts', 'entry-exit', 'tlb'),
  },
  { name: 'svm/host state', files: ['svm/host-save-area.ts'], tests: tests('svm', 'registers', 'entry-exit', 'host-debug', 'branch-records', 'host-state') },
  { name: 'svm/branch-records', files: ['svm/branch-records.ts'], tests: tests('svm', 'branch-records') },
  { name: 'svm/boundary', files: ['svm/boundary.ts'], tests: tests('svm', 'interrupts', 'events') },
  { name: 'svm/msr', files: ['svm/msr.ts'], tests: tests('svm', 'msr') },
];
