/** Which files are mutated, and which tests speak about them: cheap ones first, since the first that fails decides. */

export interface Target {
  readonly name: string;
  readonly files: readonly string[];
  readonly tests: readonly string[];
}

const tests = (folder: string, ...names: readonly string[]): string[] => names.map((name) => `tests/${folder}/${name}.test.ts`);

const VMX_BEHAVIOUR = tests('vmx', 'tables', 'entry-exit', 'instructions', 'boundary', 'intercepts');

export const TARGETS: readonly Target[] = [
  {
    name: 'vmx/entry',
    files: ['check', 'controls', 'guest-registers', 'guest-segments', 'guest-state', 'host-state', 'groups'].map((f) => `vmx/entry/${f}.ts`),
    tests: tests('vmx', 'tables', 'entry-values-controls', 'entry-values-guest', 'entry-checks', 'entry-exit'),
  },
  { name: 'vmx/intercepts', files: ['vmx/intercepts.ts'], tests: tests('vmx', 'intercepts', 'instructions') },
  { name: 'vmx/exit', files: ['reason', 'qualification', 'exception'].map((f) => `vmx/exit/${f}.ts`), tests: VMX_BEHAVIOUR },
  { name: 'vmx/vmcs', files: ['fields', 'support'].map((f) => `vmx/vmcs/${f}.ts`), tests: VMX_BEHAVIOUR },
  { name: 'vmx/controls', files: ['vmx/controls.ts'], tests: VMX_BEHAVIOUR },
  { name: 'vmx/capabilities', files: ['vmx/capabilities.ts'], tests: VMX_BEHAVIOUR },
  { name: 'vmx/operation', files: ['vmx/operation.ts'], tests: tests('vmx', 'operation', 'instructions') },
  { name: 'vmx/instructions', files: ['vmx/instructions/result.ts'], tests: tests('vmx', 'instructions', 'operation') },
];
