/** Who is measured, in the order of the columns. A further backend is one line. */
import { BOCHS_DEBIAN } from './bochs-engine';
import type { Engine } from './measurement';
import { QEMU_TCG } from './qemu-engine';
import { vmexitEngine } from './vmexit-engine';

export const ENGINES: readonly Engine[] = [vmexitEngine('bare', 'bare'), vmexitEngine('vmx', 'vmx'), vmexitEngine('svm', 'svm'), QEMU_TCG, BOCHS_DEBIAN];
