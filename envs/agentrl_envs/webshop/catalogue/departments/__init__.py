"""What the shop sells, department by department."""

from agentrl_envs.webshop.catalogue.departments.beauty import BEAUTY
from agentrl_envs.webshop.catalogue.departments.electronics import ELECTRONICS
from agentrl_envs.webshop.catalogue.departments.fashion import FASHION
from agentrl_envs.webshop.catalogue.departments.garden import GARDEN
from agentrl_envs.webshop.catalogue.departments.grocery import GROCERY
from agentrl_envs.webshop.catalogue.departments.kitchen import KITCHEN
from agentrl_envs.webshop.catalogue.departments.office import OFFICE
from agentrl_envs.webshop.catalogue.departments.pets import PETS
from agentrl_envs.webshop.catalogue.departments.sports import SPORTS
from agentrl_envs.webshop.catalogue.departments.toys import TOYS

DEPARTMENTS = (BEAUTY, ELECTRONICS, FASHION, GARDEN, GROCERY, KITCHEN, OFFICE, PETS, SPORTS, TOYS)
