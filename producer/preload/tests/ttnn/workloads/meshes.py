"""Several devices at once: whole meshes, parts of them, submeshes that share their chips. Needs more than one chip."""
import ttnn
from truth import L1, Truth, tensor

truth = Truth()
chips = len(truth.chips)
assert chips > 1

mesh = truth.open()
held = [tensor(mesh, (1, 1, 64, 64 * (n + 1)), memory=L1 if n % 2 else ttnn.DRAM_MEMORY_CONFIG) for n in range(6)]
truth.check("replicated on the whole mesh")

left = truth.adopt(mesh.create_submesh(ttnn.MeshShape(1, 1), ttnn.MeshCoordinate(0, 0)))
held.append(tensor(left, (1, 1, 128, 128)))
truth.check("on a submesh of one chip")
right = truth.adopt(mesh.create_submesh(ttnn.MeshShape(1, chips - 1), ttnn.MeshCoordinate(0, 1)))
held.append(tensor(right, (1, 1, 256, 128), memory=L1))
truth.check("on a submesh of the others")
ttnn.deallocate(held.pop(2))
truth.check("freed on the mesh while submeshes live")
ttnn.deallocate(held.pop())
truth.check("freed on a submesh")

del held[:]
truth.check("all out of scope")
truth.close(left)
truth.check("a submesh closed")
truth.close(right)
truth.close(mesh)
del left, right
truth.check("mesh closed")

# tt-metal wants submeshes closed before their mesh, and either the mesh or its submeshes to run operations, not both.
mesh = truth.open()
pairs = [truth.adopt(pair) for pair in mesh.create_submeshes(ttnn.MeshShape(1, 2))]
held = [tensor(mesh, (1, 1, 32, 96))]
for number, pair in enumerate(pairs):
    held.append(tensor(pair, (1, 1, 64, 64 * (number + 1))))
    held.append(ttnn.multiply(held[-1], 2.0))
    truth.check(f"an operation on submesh {number}")
for pair in pairs:
    truth.close(pair)
    truth.check("a submesh closed, the mesh and the other one not")
truth.close(mesh)
truth.check("mesh closed after its submeshes")
del held[:], pairs

for width in range(1, chips + 1):
    part = truth.open_mesh(1, width)
    here = [tensor(part, (1, 1, 96, 96)) for _ in range(width)]
    truth.check(f"mesh of {width}")
    truth.close(part)
    truth.check(f"mesh of {width} closed with its tensors alive")
    del here
    truth.check(f"tensors of the mesh of {width} dropped after it")
truth.finish()
