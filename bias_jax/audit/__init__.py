"""The road of every audit: images, networks and instruments in; tables, figures and findings out."""

from bias_jax.audit.config import RunConfig as RunConfig
from bias_jax.audit.images import ImageSet as ImageSet
from bias_jax.audit.images import Seen as Seen
from bias_jax.audit.images import look as look
from bias_jax.audit.protocol import BASELINE as BASELINE
from bias_jax.audit.protocol import NETWORK as NETWORK
from bias_jax.audit.protocol import OUTPUT as OUTPUT
from bias_jax.audit.protocol import PIXELS as PIXELS
from bias_jax.audit.protocol import UNTRAINED as UNTRAINED
from bias_jax.audit.protocol import Arrays as Arrays
from bias_jax.audit.protocol import Choice as Choice
from bias_jax.audit.protocol import Context as Context
from bias_jax.audit.protocol import Groups as Groups
from bias_jax.audit.protocol import Instrument as Instrument
from bias_jax.audit.protocol import Layer as Layer
from bias_jax.audit.protocol import Rows as Rows
from bias_jax.audit.protocol import Task as Task
from bias_jax.audit.result import Audit as Audit
from bias_jax.audit.run import audit as audit
from bias_jax.audit.stored import Stored as Stored
from bias_jax.audit.stored import open_stored as open_stored
from bias_jax.audit.subjects import RANDOM as RANDOM
from bias_jax.audit.subjects import FlaxSubject as FlaxSubject
from bias_jax.audit.subjects import Subject as Subject
from bias_jax.audit.subjects import load_subject as load_subject
